"""Reverse sweep of the exact LIF neuron."""
