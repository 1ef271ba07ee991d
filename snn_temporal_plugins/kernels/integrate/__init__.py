"""Integration of the events of one sample, shared by the kernels of the single-spike neuron."""
