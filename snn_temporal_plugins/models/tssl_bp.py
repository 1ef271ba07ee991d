"""Feed-forward networks of TSSL-BP, built from the paper's short descriptions."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor, nn

from .. import _checks
from ..dropout import RowDropout
from ..neurons.tssl_lif import TSSLLIF
from ..over_time import OverTime, StaticInput
from ..pooling import SumPool2d
from ..psc import PSC

NARROW = 32  # outputs


class TSSLNetwork(nn.Module):
    """Network of :class:`~snn_temporal_plugins.TSSLLIF` layers in PSC form.

    Parameters
    ----------
    description : str
        Layers separated by ``-``: ``15C5`` is a convolution with 15 channels and kernel 5, ``P2``
        a :class:`~snn_temporal_plugins.SumPool2d`, ``D`` a
        :class:`~snn_temporal_plugins.RowDropout`, a number a fully connected layer. The first one
        must be a synapse.
    input_shape : tuple of int
        Shape of one sample (of one step): ``(1, 28, 28)``, or ``(784,)``.
    num_steps : int, optional
        Show static samples ``[B, ...]`` for so many steps; without it the input is a train
        ``[T, B, ...]``, filtered first.
    tau_mem, tau_syn, threshold : float
        As in ``TSSLLIF``.
    padding : int, default=0
        Of all convolutions, or a sequence with one number for each.
    conv_scale : float, default=1.0
        Factor on the initial weights of convolutions (the authors take 5 for CIFAR-10).
    dropout : float, default=0.2
        Probability of every ``D``.
    **options
        Further arguments of ``TSSLLIF``, for instance ``fallback``.

    Raises
    ------
    ValueError
        If the description holds anything else.

    Notes
    -----
    No biases. Fully connected weights start normal with standard deviation ``sqrt(2 / inputs)``,
    convolutions uniform within ``1 / sqrt(inputs)``, as in the authors' program. The output
    ``[T, B, C]`` is the PSC of the last layer; a *silent* output puts out zeros.

    References
    ----------
    .. [1] W. Zhang, P. Li, arXiv:2002.10085, section 4.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> network = stp.models.TSSLNetwork("15C5-P2-40C5-P2-300-10", (1, 28, 28), num_steps=5)
    >>> network(torch.rand(2, 1, 28, 28)).shape
    torch.Size([5, 2, 10])
    >>> sum(weight.numel() for weight in network.parameters())
    210375
    """

    def __init__(
        self,
        description: str,
        input_shape: tuple[int, ...],
        *,
        num_steps: int | None = None,
        tau_mem: float = 5.0,
        tau_syn: float = 3.0,
        threshold: float = 1.0,
        padding: int | tuple[int, ...] = 0,
        conv_scale: float = 1.0,
        dropout: float = 0.2,
        **options: Any,
    ) -> None:
        super().__init__()
        self.description, self.num_steps = description, num_steps
        self.conv_scale = _checks.positive("TSSLNetwork", "conv_scale", conv_scale)
        if isinstance(padding, int):
            padding = (padding,) * description.count("C")
        paddings, shape = iter(padding), input_shape
        layers: list[nn.Module] = [] if num_steps else [PSC(tau_syn)]
        for word in description.split("-"):
            synapse: nn.Module
            if match := re.fullmatch(r"(\d+)C(\d+)", word):
                channels, kernel = map(int, match.groups())
                border = next(paddings)
                synapse = nn.Conv2d(shape[0], channels, kernel, padding=border, bias=False)
                shape = channels, *(size + 2 * border - kernel + 1 for size in shape[1:])
            elif word.isdigit():
                kind = _Narrow if layers and int(word) < NARROW else nn.Linear
                synapse = kind(math.prod(shape), int(word), bias=False)
                if len(shape) > 1:
                    layers.append(nn.Flatten(2 if layers else 1))
                shape = (int(word),)
            else:
                layers.append(_between(word, description, dropout))
                if isinstance(layers[-1], SumPool2d):
                    shape = shape[0], *(size // layers[-1].kernel for size in shape[1:])
                continue
            neuron = TSSLLIF(tau_mem, tau_syn, threshold, **options)
            first = not any(isinstance(layer, StaticInput | TSSLLIF) for layer in layers)
            if num_steps and first:
                layers.append(StaticInput(synapse, neuron, num_steps))
            else:
                convolves = isinstance(synapse, nn.Conv2d)
                layers += [OverTime(synapse) if convolves else synapse, neuron]
        self.layers = nn.ModuleList(layers)
        self.reset_parameters()

    def extra_repr(self) -> str:
        return f"{self.description!r}, num_steps={self.num_steps}"

    def reset_parameters(self) -> None:
        """Draw the weights afresh."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.Conv2d):
                module.reset_parameters()
                with torch.no_grad():
                    module.weight.mul_(self.conv_scale)

    def forward(self, x: Tensor) -> Tensor:
        """PSCs ``[T, B, C]`` of static samples ``[B, ...]``, or of trains ``[T, B, ...]``."""
        return self.run(x)[0][-1]

    def run(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """PSCs ``[T, B, ...]`` of every layer of neurons, and the last potential ``[B, C]``."""
        pscs, state = [], None
        for layer in self.layers:
            if isinstance(layer, StaticInput):
                x, state = layer.run(x)
            elif isinstance(layer, TSSLLIF):
                x, state = layer(x)
            else:
                x = layer(x)
                continue
            pscs.append(x)
        assert state is not None
        return pscs, state.v


class _Narrow(nn.Linear):
    """Few outputs over a window: the transposed product takes half of the time on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight @ x.flatten(0, -2).t()).t().unflatten(0, x.shape[:-1])


def _between(word: str, description: str, dropout: float) -> nn.Module:
    """Layer without neurons."""
    if word == "D":
        return RowDropout(dropout)
    if match := re.fullmatch(r"P(\d+)", word):
        return SumPool2d(int(match[1]))
    raise ValueError(
        "TSSLNetwork: description holds words like 15C5, P2, D and 300, separated by '-'; "
        f"got {word!r} in {description!r}."
    )
