"""Event-driven kernels of the exact LIF neuron."""
