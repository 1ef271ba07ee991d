"""What the papers report, and the result files in which it is repeated: rows of the papers page."""

from __future__ import annotations

from typing import NamedTuple

FIRST_SPIKE = ("plain.strict", "plain.potential", "plain.authors")
LAST_EPOCH = ("last.test", "last.test_ties_by_potential", "last.test_ties_by_index")
ERROR = ("-1.spiking_error",)


class Row(NamedTuple):
    """One network: what is reported for it, and where ours stand."""

    network: str
    reported: str
    files: str  #: pattern; of several settings the longest runs are shown
    keys: tuple[str, ...]  #: of the strict, potential and authors' count
    form: str = ".2%"  #: ``.2f`` where files hold percent


class Paper(NamedTuple):
    """One paper."""

    name: str
    arxiv: str
    claim: str
    classes: tuple[str, ...]
    tutorial: str  #: script in ``tutorials/02_papers``; left out while it is not there
    rows: tuple[Row, ...]


PAPERS = (
    Paper(
        "S4NN",
        "1910.09495",
        "backpropagation through the time of at most one spike per neuron; the first output spike "
        "decides",
        ("SingleSpikeIF", "Timed", "RankOrderLoss", "PotentialMarginLoss", "DecisionWindow"),
        "plot_s4nn",
        (
            Row(
                "784-400-10, MNIST, the paper's rule",
                "97.4 %",
                "s4nn/mnist_rule_paper_400_*epochs_seed?.json",
                FIRST_SPIKE,
            ),
            Row(
                "the same, our rule A",
                "",
                "s4nn/mnist_rule_A_400_*epochs_seed?.json",
                FIRST_SPIKE,
            ),
            Row(
                "rule A, shifts of one pixel",
                "",
                "s4nn/mnist_rule_A_400_*epochs_shift1_seed?.json",
                FIRST_SPIKE,
            ),
            Row(
                "rule A, two convolutions (16C5-P2-32C5-10), shifts of one pixel",
                "",
                "s4nn/mnist_rule_A_conv_16_32_10epochs_shift1_seed?.json",
                FIRST_SPIKE,
            ),
            Row(
                "the same with 32 and 64 channels, Fashion-MNIST, mirrored images",
                "",
                "s4nn/fashion-mnist_rule_A_conv_32_64_11epochs_rate0.5_seed?.json",
                FIRST_SPIKE,
            ),
            Row(
                "784-1000-10, Fashion-MNIST, rule A, mirrored images",
                "88.0 %",
                "s4nn/fashion-mnist_rule_A_1000_12epochs_seed?.json",
                FIRST_SPIKE,
            ),
            Row(
                "1080-64-2, Caltech faces and motorbikes, five splits",
                "99.2 %",
                "s4nn/caltech_faces.json",
                ("mean.strict",),
            ),
        ),
    ),
    Paper(
        "BS4NN",
        "2007.04039",
        "the same with one bit per synapse",
        ("BinaryLinear", "BinaryConv2d", "pack"),
        "plot_bs4nn",
        (
            Row(
                "784-600-10, MNIST, the paper's rule",
                "97.0 %",
                "bs4nn/mnist_paper_seed?.json",
                FIRST_SPIKE,
            ),
            Row("the same, our margin rule", "", "bs4nn/mnist_margin_seed?.json", FIRST_SPIKE),
            Row(
                "784-1000-10, Fashion-MNIST, the paper's rule",
                "87.3 %",
                "bs4nn/fashion-mnist_paper_seed?.json",
                FIRST_SPIKE,
            ),
            Row(
                "the same, our margin rule",
                "",
                "bs4nn/fashion-mnist_margin_seed?.json",
                FIRST_SPIKE,
            ),
        ),
    ),
    Paper(
        "TSSL-BP",
        "2002.10085",
        "deep networks learn from spike sequences in five steps",
        ("TSSLLIF", "SpikeTrainDistance"),
        "plot_tssl_bp",
        (
            Row(
                "784-400-400-10, Fashion-MNIST",
                "89.75 %",
                "tssl_bp_fashion_mlp_rule_seed?_*epochs.json",
                LAST_EPOCH,
                ".2f",
            ),
            Row(
                "15C5-P2-40C5-P2-300-10, MNIST",
                "99.50 %",
                "tssl_bp_mnist_cnn_rule_seed?_*epochs.json",
                LAST_EPOCH,
                ".2f",
            ),
            Row(
                "32C3-64C3-128C3-256-10, CIFAR-10, 20,000 images",
                "",
                "tssl_bp_cifar_small_rule_seed?_8epochs.json",
                LAST_EPOCH,
                ".2f",
            ),
        ),
    ),
    Paper(
        "Multi-spike timing",
        "2211.16113",
        "exact gradients of spike times without the single-spike restriction; an optimal time "
        "constant",
        ("ExactLIF", "IntegratedPotential"),
        "plot_multispike_timing",
        (
            Row(
                "784-400-10, MNIST, potentials decide",
                "",
                "multispike/mnist_potential_400_tau4_[0-9]*epochs_seed?.json",
                ("result.accuracy",),
            ),
            Row(
                "the same, affine maps of the images",
                "",
                "multispike/mnist_potential_400_tau4_affine_*epochs_seed?.json",
                ("result.accuracy",),
            ),
            Row(
                "784-400-10, MNIST, first spikes decide",
                "",
                "multispike/mnist_first_400_tau4_*epochs_seed?.json",
                ("result.accuracy",),
            ),
            Row(
                "784-400-10, Fashion-MNIST, potentials decide",
                "",
                "multispike/fashion-mnist_potential_400_tau4_*epochs_seed?.json",
                ("result.accuracy",),
            ),
            Row(
                "4-120-3, Yin-Yang, potentials decide",
                "",
                "multispike/yin-yang_potential_120_tau4_*epochs_seed?.json",
                ("result.accuracy",),
            ),
        ),
    ),
    Paper(
        "Deep Spiking Networks",
        "1602.08323",
        "signed spikes equal a ReLU network in the limit, in both directions",
        ("HerdingReLU", "HerdingQuantizer", "HerdingMLP", "to_spiking"),
        "plot_deep_spiking_networks",
        (
            Row(
                "784-200-200-10, MNIST, SGD: *error*",
                "2.68 %",
                "deep_spiking/training_sgd_chosen.json",
                ERROR,
                ".2f",
            ),
            Row(
                "the same, fractional SGD: *error*",
                "2.34 %",
                "deep_spiking/training_fsgd_chosen.json",
                ERROR,
                ".2f",
            ),
            Row(
                "the same, SGD in step order: *error*",
                "",
                "deep_spiking/training_step_sgd_chosen.json",
                ERROR,
                ".2f",
            ),
            Row(
                "ReLU network, same start: *error*",
                "1.81 %",
                "deep_spiking/training_relu_chosen.json",
                ("-1.relu_error",),
                ".2f",
            ),
        ),
    ),
)
