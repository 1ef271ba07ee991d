"""Event-driven kernels of the single-spike integrate-and-fire neuron."""
