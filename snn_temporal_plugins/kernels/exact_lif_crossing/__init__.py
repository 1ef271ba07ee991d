"""Threshold crossings of one exact LIF neuron."""
