"""Convolutional single-spike integrate-and-fire layer."""
