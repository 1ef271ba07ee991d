"""TSSL-BP neuron and PSC filter: fused loops over time."""
