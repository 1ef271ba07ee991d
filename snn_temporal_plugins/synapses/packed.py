"""Binary synapses with one bit each, for inference."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import _checks
from ..neurons.single_spike_if import SingleSpikeIF
from . import packed_events
from .base import Synapse
from .binarized import BinarySynapse, exact_scale
from .binary import BinaryConv2d, BinaryLinear


class PackedSynapse(Synapse):
    """What the packed layers share: signs as bits, one row of whole bytes per neuron."""

    bits: Tensor
    scale: Tensor
    bias: Tensor | None

    def _setup(self, shape: tuple[int, ...], bias: bool, channels: bool) -> None:
        self.shape = shape
        row = -(-math.prod(shape[1:]) // 8)
        self.register_buffer("bits", torch.zeros(shape[0], row, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(shape[0] if channels else ()))
        self.register_buffer("bias", torch.zeros(shape[0]) if bias else None)

    def _fill(self, binary: BinarySynapse) -> None:
        """Take signs, the scale in use, and bias from a binary synapse."""
        with torch.no_grad():
            positive = binary.event_weights()[0] >= 0
            self.bits = _pack(positive.flatten(1))
            scale = binary.scale.clamp(*binary.scale_bounds)
            self.scale = exact_scale(scale, math.prod(self.shape[1:]))
            self.bias = None if binary.bias is None else binary.bias.clone()
        self.eval()

    def positive(self) -> Tensor:
        """Which weights are positive, bool, in the shape of the weights."""
        places = torch.arange(8, dtype=torch.uint8, device=self.bits.device)
        bits = (self.bits.unsqueeze(2) >> places) & 1
        return bits.flatten(1)[:, : math.prod(self.shape[1:])].bool().view(self.shape)

    @property
    def weight(self) -> Tensor:
        """Weights as numbers; unpacked at every call."""
        scale = (
            self.scale.view(-1, *[1] * (len(self.shape) - 1)) if self.scale.dim() else self.scale
        )
        return torch.where(self.positive(), scale, -scale)

    def event_weights(self) -> tuple[Tensor, Tensor]:
        """Weights as numbers, twice: nothing is learned here."""
        weight = self.weight
        return weight, weight


class PackedLinear(PackedSynapse):
    """Fully connected binary synapses with one bit each; made by :func:`pack`.

    Parameters
    ----------
    in_features, out_features : int
        Numbers I of inputs and O of neurons.
    bias : bool, default=False
        Keep room for a real bias.
    per_channel : bool, default=False
        Keep room for one scale per neuron.

    Raises
    ------
    ValueError
        If a size is below 1.

    Notes
    -----
    The state is ``bits [O, ceil(I / 8)]`` (uint8, the first input in the lowest bit), ``scale``
    and perhaps ``bias``. Under :class:`~snn_temporal_plugins.Timed` with
    :class:`~snn_temporal_plugins.SingleSpikeIF` and the numba backend 64 neurons are advanced at
    once; elsewhere (other neurons and devices, a bias, a scale per channel, clocked models) the
    weights are unpacked in each call, which is right but not fast.

    References
    ----------
    .. [1] S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, "BS4NN: binarized spiking neural
       networks with temporal coding and learning", arXiv:2007.04039: the synapses; how they are
       stored and added up is this project's own.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> packed = stp.pack(stp.BinaryLinear(784, 600))
    >>> packed.bits.shape
    torch.Size([600, 98])
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = False, *, per_channel: bool = False
    ) -> None:
        super().__init__()
        self.in_features = _checks.integer("PackedLinear", "in_features", in_features, 1)
        self.out_features = _checks.integer("PackedLinear", "out_features", out_features, 1)
        self._setup((out_features, in_features), bias, per_channel)
        self._events = packed_events.prepare()

    def forward(self, x: Tensor) -> Tensor:
        """Currents caused by spikes (or values) ``x``."""
        return F.linear(x, self.weight, self.bias)

    def serves(self, neuron: Any, times: Tensor, backend: str) -> bool:
        """Whether an event-driven layer of ``neuron`` can be computed with the bits."""
        return (
            backend == "numba"
            and type(neuron) is SingleSpikeIF
            and self._events is not None
            and self.bias is None
            and self.scale.dim() == 0
            and times.dim() == 2
            and self.in_features <= packed_events.REACH
        )

    def solve(
        self, neuron: Any, times: Tensor, t_max: int | None, potential: bool
    ) -> tuple[Tensor, Tensor]:
        """Spike times and potentials ``[B, O]``; no potentials where they are not wanted."""
        assert self._events is not None
        return self._events.solve(self, neuron, times, t_max, potential)

    def outline(self) -> Tensor:
        """A tensor of the shape, type and device of the weights that holds nothing."""
        return self.scale.flatten()[:1].view([1] * len(self.shape)).expand(self.shape)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_events": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._events = packed_events.prepare()

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, bytes={_size(self)}"
        )


class PackedConv2d(PackedSynapse):
    """Convolution with one bit per weight; made by :func:`pack`.

    Parameters
    ----------
    binary : BinaryConv2d
        Where geometry, signs, scale and bias come from.

    Notes
    -----
    The state is ``bits [C', ceil(C kh kw / 8)]``, ``scale`` and perhaps ``bias``. The weights,
    which are few, are unpacked in each call.

    References
    ----------
    .. [1] S. R. Kheradpisheh, M. Mirsadeghi, T. Masquelier, "BS4NN: binarized spiking neural
       networks with temporal coding and learning", arXiv:2007.04039: the synapses; how they are
       stored and added up is this project's own.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> stp.pack(stp.BinaryConv2d(2, 4, 3)).bits.shape
    torch.Size([4, 3])
    """

    def __init__(self, binary: BinaryConv2d) -> None:
        super().__init__()
        for name in ("stride", "padding", "dilation", "groups", "kernel_size"):
            setattr(self, name, getattr(binary, name))
        self._setup(tuple(binary.weight.shape), binary.bias is not None, binary.scale.dim() > 0)

    def forward(self, x: Tensor) -> Tensor:
        """Currents caused by spikes (or values) ``x``."""
        options: Any = self.stride, self.padding, self.dilation, self.groups
        return F.conv2d(x, self.weight, self.bias, *options)

    def extra_repr(self) -> str:
        return f"shape={self.shape}, bias={self.bias is not None}, bytes={_size(self)}"


def _size(synapse: PackedSynapse) -> int:
    return sum(buffer.nbytes for buffer in synapse.buffers())


def _pack(positive: Tensor) -> Tensor:
    """Rows of bools ``[O, I]`` to bytes ``[O, ceil(I / 8)]``, the first in the lowest bit."""
    padded = F.pad(positive.to(torch.uint8), (0, -positive.shape[1] % 8))
    places = torch.arange(8, dtype=torch.uint8, device=positive.device)
    return (padded.unflatten(1, (-1, 8)) << places).sum(2, dtype=torch.uint8)


def pack_synapse(binary: BinarySynapse) -> PackedSynapse:
    """Packed form of one binary synapse."""
    packed: PackedSynapse
    if isinstance(binary, BinaryLinear):
        packed = PackedLinear(
            binary.in_features,
            binary.out_features,
            binary.bias is not None,
            per_channel=binary.scale.dim() > 0,
        )
    elif isinstance(binary, BinaryConv2d):
        packed = PackedConv2d(binary)
    else:
        raise TypeError(f"pack: {type(binary).__name__} has no packed form.")
    packed._fill(binary)
    return packed


def pack(model: nn.Module) -> Any:
    """Copy of a model for inference in which every binary synapse takes one bit.

    Parameters
    ----------
    model : nn.Module
        A :class:`BinaryLinear` or :class:`BinaryConv2d`, or a model that holds some: of ``Timed``
        layers, of clocked neurons, of a host, of ReLUs.

    Returns
    -------
    nn.Module
        A copy in evaluation mode without gradients; the model itself is left alone.

    Raises
    ------
    TypeError
        If the model holds no binary synapse.

    Notes
    -----
    Spikes and potentials are equal to those of the model, bit for bit. 32 float weights become
    4 bytes; see :class:`PackedLinear` for when they are also *computed* with as bits.

    ``torch.save(packed.state_dict(), file)`` writes the bits; load them into
    ``pack(model_of_the_same_shape)``.

    Examples
    --------
    >>> import torch, snn_temporal_plugins as stp
    >>> layer = stp.Timed(stp.BinaryLinear(16, 2), stp.SingleSpikeIF(), t_max=9)
    >>> sum(buffer.nbytes for buffer in stp.pack(layer).buffers())
    8
    """
    if isinstance(model, BinarySynapse):
        return pack_synapse(model)
    memo: dict[int, Any] = {
        id(module): pack_synapse(module)
        for module in model.modules()
        if isinstance(module, BinarySynapse)
    }
    if not memo:
        raise TypeError(
            f"pack: {type(model).__name__} holds no binary synapse; build it with BinaryLinear or "
            "BinaryConv2d, or swap them in."
        )
    return copy.deepcopy(model, memo).eval().requires_grad_(False)
