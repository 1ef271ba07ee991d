"""Specs of the package's own plug-ins.

Each has an entry point of the same name in ``pyproject.toml``; a test keeps both lists equal.
"""

from __future__ import annotations

from .spec import EncoderSpec, NeuronSpec

SINGLE_SPIKE_IF = NeuronSpec(
    "single_spike_if",
    "snn_temporal_plugins.neurons:SingleSpikeIF",
    summary="Non-leaky integrate-and-fire neuron that fires at most once",
    reference="S4NN, arXiv:1910.09495",
    aliases=("s4nn",),
)

LATENCY = EncoderSpec(
    "latency",
    "snn_temporal_plugins.encoders:Latency",
    summary="Latency code: the brighter, the earlier; zero never fires",
    reference="S4NN, arXiv:1910.09495",
)
