"""Small neurons with one, two and three states, for the tests of what is made from them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from snn_temporal_plugins import ClockedNeuron


class Fire(torch.autograd.Function):
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
        return grad / (1 + 3 * distance.abs()) ** 2


class FilteredState(NamedTuple):
    v: Tensor
    a: Tensor


class Filtered(ClockedNeuron):
    """Leaky unit whose output is its filtered spike train; its potential rests at 0.2."""

    State = FilteredState

    def __init__(self, tau_mem: float, threshold: float = 0.8, *, output: str = "psc") -> None:
        super().__init__()
        self.tau_mem, self.threshold, self.output = tau_mem, threshold, output
        self.decay = nn.Parameter(torch.tensor(0.7))
        if output == "spikes":
            self.State = ThreeStates

    def extra_repr(self) -> str:
        return f"tau_mem={self.tau_mem:g}"

    def initial_state(self, current: Tensor):
        rest = torch.full_like(current, 0.2)
        quiet = torch.zeros_like(current)
        return (
            FilteredState(rest, quiet) if self.output == "psc" else ThreeStates(quiet, rest, quiet)
        )

    def step(self, current: Tensor, state):
        if self.output == "psc":
            v, a = state
            drive = current
        else:
            i, v, a = state
            i = drive = 0.6 * i + current
        v = (1 - 1 / self.tau_mem) * v + drive
        spike = Fire.apply(v - self.threshold)
        a = self.decay.to(current.dtype) * a + spike
        v = v.masked_fill(spike > 0, 0.0)
        if self.output == "psc":
            return a, FilteredState(v, a)
        return spike, ThreeStates(i, v, a)


class ThreeStates(NamedTuple):
    i: Tensor
    v: Tensor
    a: Tensor


class FourStates(NamedTuple):
    a: Tensor
    b: Tensor
    c: Tensor
    d: Tensor


class TooMany(Filtered):
    State = FourStates


class NoState(Filtered):
    State = tuple


class TwoGains(ClockedNeuron):
    """Unit without a threshold: keeps and returns the sum of its input; (phi, total)."""

    class State(NamedTuple):
        phi: Tensor
        total: Tensor

    def initial_state(self, current: Tensor):
        return self.State(torch.zeros_like(current), torch.zeros_like(current))

    def step(self, current: Tensor, state):
        phi, total = state
        phi = phi + current
        spike = (phi > 0.5).to(current.dtype) + (phi - phi.detach())
        return spike, self.State(phi - spike.detach(), total + current)
