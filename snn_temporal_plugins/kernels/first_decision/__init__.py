"""Kernel of the early decision of a fully connected stack of single-spike layers."""
