"""Specs of the package's own plug-ins.

Each has an entry point of the same name in ``pyproject.toml``; a test keeps both lists equal.
"""

from __future__ import annotations

from .spec import EncoderSpec, LossSpec, NeuronSpec, SurrogateSpec, SynapseSpec

SINGLE_SPIKE_IF = NeuronSpec(
    "single_spike_if",
    "snn_temporal_plugins.neurons:SingleSpikeIF",
    summary="Non-leaky integrate-and-fire neuron that fires at most once",
    reference="S4NN, arXiv:1910.09495",
    aliases=("s4nn",),
    expected_failed_checks={
        "check_gradient_where_silent": "by the paper's rule a silent hidden unit gets no gradient",
    },
)

LATENCY = EncoderSpec(
    "latency",
    "snn_temporal_plugins.encoders:Latency",
    summary="Latency code: the brighter, the earlier; zero never fires",
    reference="S4NN, arXiv:1910.09495",
)

LOG_LATENCY = EncoderSpec(
    "log_latency",
    "snn_temporal_plugins.encoders:LogLatency",
    summary="Logarithmic latency code: a factor on all values shifts all spikes",
    reference="Hopfield, Nature 376, 1995",
)

RANK_ORDER = EncoderSpec(
    "rank_order",
    "snn_temporal_plugins.encoders:RankOrder",
    summary="Rank-order code: only the order of the values counts, equal values share a rank",
    reference="Thorpe and Gautrais, 1998",
)

CONSTANT_CURRENT = EncoderSpec(
    "constant_current",
    "snn_temporal_plugins.encoders:ConstantCurrent",
    summary="The same current at every step, for clocked hosts",
)

BINARY_LINEAR = SynapseSpec(
    "binary_linear",
    "snn_temporal_plugins.synapses:BinaryLinear",
    summary="Fully connected synapses with binary weights",
    reference="BS4NN, arXiv:2007.04039",
    aliases=("bs4nn",),
)

BINARY_CONV2D = SynapseSpec(
    "binary_conv2d",
    "snn_temporal_plugins.synapses:BinaryConv2d",
    summary="Convolution with binary weights",
    reference="BS4NN, arXiv:2007.04039",
)

HERDING_RELU = NeuronSpec(
    "herding_relu",
    "snn_temporal_plugins.neurons:HerdingReLU",
    summary="Rectified unit whose spike count follows a ReLU within O(1) spikes",
    reference="Deep Spiking Networks, arXiv:1602.08323",
    aliases=("dsn",),
)

HERDING_QUANTIZER = NeuronSpec(
    "herding_quantizer",
    "snn_temporal_plugins.neurons:HerdingQuantizer",
    summary="Signed spikes whose sum follows the input within half a quantum; sigma-delta, PD",
    reference="Deep Spiking Networks, arXiv:1602.08323",
    aliases=("sigma_delta",),
)

EXACT_LIF = NeuronSpec(
    "exact_lif",
    "snn_temporal_plugins.neurons:ExactLIF",
    summary="Leaky integrate-and-fire neuron with exact gradients of all its spike times",
    reference="after Yamamoto, Sakemi and Aihara, arXiv:2211.16113",
    aliases=("multispike",),
    example={"tau_mem": 5.0, "tau_syn": 2.5},
    expected_failed_checks={
        "check_outputs_are_finite": "an absurd current (over 500 spikes a step) is an error",
        "check_gradients_are_finite": "an absurd current (over 500 spikes a step) is an error",
        "check_spike_budget": "max_spikes limits the timed form; a clocked step may hold several",
        "check_gradient_where_silent": "the exact gradient of a neuron that stays silent is 0",
        "check_compiles": "the number of spikes solved inside a step depends on the data",
        "check_exports": "the number of spikes solved inside a step depends on the data",
    },
)

TSSL_LIF = NeuronSpec(
    "tssl_lif",
    "snn_temporal_plugins.neurons:TSSLLIF",
    summary="Leaky integrate-and-fire neuron with spike-sequence backpropagation",
    reference="TSSL-BP, arXiv:2002.10085",
    aliases=("tssl_bp",),
    expected_failed_checks={
        "check_half_precision": "computes in float32, 1/du needs the digits; host classes cast",
    },
)

RANK_ORDER_LOSS = LossSpec(
    "rank_order",
    "snn_temporal_plugins.losses:RankOrderLoss",
    summary="The label fires first, the others a margin later (relative targets)",
    reference="S4NN, arXiv:1910.09495",
)

FIRST_SPIKE_CROSS_ENTROPY = LossSpec(
    "first_spike_cross_entropy",
    "snn_temporal_plugins.losses:FirstSpikeCrossEntropy",
    summary="Cross-entropy over negative first-spike times",
    reference="Mostafa, arXiv:1606.08165",
)

TARGET_TIME = LossSpec(
    "target_time",
    "snn_temporal_plugins.losses:TargetTimeLoss",
    summary="Squared distance to target times: the label early, the others late",
    reference="Bohte, Kok and La Poutré, Neurocomputing 48, 2002",
)

POTENTIAL_MARGIN = LossSpec(
    "potential_margin",
    "snn_temporal_plugins.losses:PotentialMarginLoss",
    summary="Wrong outputs stay a margin below the threshold, the label is pulled over it",
)

SPIKE_TRAIN_DISTANCE = LossSpec(
    "spike_train_distance",
    "snn_temporal_plugins.losses:SpikeTrainDistance",
    summary="Distance between the PSCs of output and target trains (van Rossum)",
    reference="TSSL-BP, arXiv:2002.10085",
)

SPIKE_COUNT_HINGE = LossSpec(
    "spike_count_hinge",
    "snn_temporal_plugins.losses:SpikeCountHinge",
    summary="One-sided squared distance of spike counts to a wanted count",
    reference="TSSL-BP, arXiv:2002.10085",
)

TSSL = SurrogateSpec(
    "tssl",
    "snn_temporal_plugins.surrogates:TSSL",
    summary="Slope of a sigmoid with a floor: the surrogate inside TSSL-BP",
    reference="TSSL-BP, arXiv:2002.10085",
)
