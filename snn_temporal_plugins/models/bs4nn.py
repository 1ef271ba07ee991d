"""The binary network that ships with the package."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from ..encoders import Latency
from ..neurons import SingleSpikeIF
from ..synapses import PackedLinear
from ..timed import Timed

FILE = Path(__file__).with_name("bs4nn_mnist.pt")
T_MAX = 256
SIZES = 784, 600, 10
THRESHOLDS = 24.5, 11.5  # counts: fire at 25 and at 12
LATE_DRIVE = 226, 1.0


def bs4nn_mnist(*, late_drive: bool = True) -> nn.Sequential:
    """Trained binary network for MNIST digits, 784-600-10, one bit per synapse (60 kB).

    Parameters
    ----------
    late_drive : bool, default=True
        Give every output one more count per step from step 226 on, so that the largest potential
        fires in the end. Without it some images (a few per cent) get no output spike, and only
        the potential can decide.

    Returns
    -------
    nn.Sequential
        ``Flatten``, ``Latency`` and two :class:`~snn_temporal_plugins.Timed` layers of
        :class:`~snn_temporal_plugins.PackedLinear`. It maps images ``[B, 1, 28, 28]`` in [0, 1]
        (white on black) to ``(times, potential)``, both ``[B, 10]``: spike times in 256 steps,
        ``inf`` for a silent output, and potentials in whole counts.

    Notes
    -----
    Trained by ``tutorials/02_papers/run_bs4nn.py`` on the 60,000 training images; its test figures
    are in ``docs/results/bs4nn/``. Network and coding are those of [1]_, the learning rule is this
    project's.

    References
    ----------
    .. [1] S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, "BS4NN: binarized spiking neural
       networks with temporal coding and learning", Neural Processing Letters, 2021,
       arXiv:2007.04039.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> model = stp.models.bs4nn_mnist()
    >>> times, potential = model(torch.rand(3, 1, 28, 28))
    >>> times.argmin(1).shape
    torch.Size([3])
    """
    layers: list[nn.Module] = []
    for k, threshold in enumerate(THRESHOLDS):
        last = k == len(THRESHOLDS) - 1
        drive = LATE_DRIVE if last and late_drive else None
        neuron = SingleSpikeIF(threshold, delay=1, late_drive=drive)
        synapse = PackedLinear(SIZES[k], SIZES[k + 1])
        layers.append(Timed(synapse, neuron, t_max=T_MAX, return_potential=last))
    timed = nn.Sequential(*layers)
    timed.load_state_dict(torch.load(FILE, weights_only=True))
    return nn.Sequential(nn.Flatten(), Latency(T_MAX), *timed).eval()
