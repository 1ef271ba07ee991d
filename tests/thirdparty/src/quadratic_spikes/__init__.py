"""A quadratic integrate-and-fire neuron and a margin loss, as a plug-in package."""
