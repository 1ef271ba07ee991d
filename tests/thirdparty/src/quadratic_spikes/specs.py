"""What the entry points name. Light: the models are imported when they are used."""

from snn_temporal_plugins import NeuronSpec
from snn_temporal_plugins.plugins import LossSpec

QUADRATIC_IF = NeuronSpec(
    "quadratic_if",
    "quadratic_spikes.models:QuadraticIF",
    summary="Quadratic integrate-and-fire neuron with a learnable curvature",
    reference="Ermentrout and Kopell 1986",
    aliases=("qif",),
)
FIRST_SPIKE_MARGIN = LossSpec(
    "first_spike_margin",
    "quadratic_spikes.models:FirstSpikeMargin",
    summary="The label fires earlier than the best other class, by a margin",
)
