"""Models of the plug-in package."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_temporal_plugins import ClockedNeuron
from snn_temporal_plugins.losses import FirstSpikeLoss


class _Fire(torch.autograd.Function):
    """Step function with the derivative of a fast sigmoid."""

    @staticmethod
    def forward(distance: Tensor) -> Tensor:
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (distance,) = ctx.saved_tensors
        return grad / (1 + 5 * distance.abs()) ** 2


class QuadraticIFState(NamedTuple):
    """State of :class:`QuadraticIF`."""

    v: Tensor


class QuadraticIF(ClockedNeuron):
    """``v <- v + c v^2 + I``; a spike is fired above the threshold and resets ``v`` to 0."""

    State = QuadraticIFState

    def __init__(self, threshold: float = 1.2, *, curvature: float = 0.15) -> None:
        super().__init__()
        self.threshold = threshold
        self.curvature = nn.Parameter(torch.tensor(float(curvature)))

    def extra_repr(self) -> str:
        return f"threshold={self.threshold:g}, curvature={self.curvature.item():g}"

    def initial_state(self, current: Tensor) -> QuadraticIFState:
        return QuadraticIFState(torch.zeros_like(current))

    def step(self, current: Tensor, state: QuadraticIFState) -> tuple[Tensor, QuadraticIFState]:
        (v,) = state
        curvature = self.curvature.to(current.dtype)
        v = v + curvature * v.clamp(-2, 2) ** 2 + current
        spike = _Fire.apply(v - self.threshold)
        return spike, QuadraticIFState(v.masked_fill(spike > 0, 0.0))


class FirstSpikeMargin(FirstSpikeLoss):
    """``relu(t_label - min_other t + margin)``; silent outputs count as ``t_max``."""

    def __init__(self, t_max: float, *, margin: float = 2.0) -> None:
        super().__init__()
        self.t_max = t_max
        self.margin = margin

    def per_sample(self, times: Tensor, targets: Tensor, potential: Tensor | None) -> Tensor:
        times = times.clamp(max=self.t_max)
        label = nn.functional.one_hot(targets, times.shape[1]).bool()
        own = times.masked_select(label)
        other = times.masked_fill(label, float("inf")).min(1).values
        return (own - other + self.margin).relu()
