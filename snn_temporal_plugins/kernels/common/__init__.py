"""What all kernels share: compilation, threads, the order of events."""
