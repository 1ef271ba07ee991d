"""The recursion of the herding units: a count that follows a running sum.

Everything rests on one recursion. The count of spikes sent so far is an integer ``n`` that moves
only as far as it must, ``n <- clamp(n, low, high)`` with ``low = ceil(S - 1/2)`` and
``high = floor(S + 1/2)`` of the running sum ``S``. Both bounds are equal unless ``S`` lies
halfway between two integers; there the count stays (a spike needs *more* than half a quantum).
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import _checks
from .base import ClockedNeuron


class HerdingState(NamedTuple):
    """State of :class:`HerdingQuantizer` and :class:`HerdingReLU`."""

    phi: Tensor  #: part of the running sum that no spike has carried away yet
    total: Tensor  #: running sum of the input, never reduced by spikes


class Herding(ClockedNeuron):
    """What the units share; subclasses say where the count may lie and where errors pass."""

    State = HerdingState
    kp, kd = 1.0, 0.0  # weights of the running sum and of the present input in the drive

    def __init__(self, quantum: float) -> None:
        super().__init__()
        self.quantum = _checks.positive(type(self).__name__, "quantum", quantum)

    def extra_repr(self) -> str:
        return f"quantum={self.quantum:g}"

    def spike_counts(self, out: Tensor, before: Tensor) -> Tensor:
        """Spikes of either sign behind outputs in units of the quantum."""
        return (out.abs() / self.quantum).round()

    @abstractmethod
    def count_range(self, drive: Tensor) -> tuple[Tensor, Tensor | None]:
        """Smallest and largest count for a ``drive`` in quanta; ``None`` is no upper bound."""

    @abstractmethod
    def gate(self, total: Tensor) -> Tensor | None:
        """Where the error passes; ``None`` is everywhere."""

    def initial_state(self, current: Tensor) -> HerdingState:
        """Nothing summed and nothing sent, for currents shaped like ``current [B, ...]``."""
        return HerdingState(torch.zeros_like(current), torch.zeros_like(current))

    def step(
        self, current: Tensor, state: HerdingState | tuple[Tensor, Tensor]
    ) -> tuple[Tensor, HerdingState]:
        """Advance one step: ``current [B, ...]`` and ``(phi, total)`` to spikes and state."""
        spikes, phi, total = _Step.apply(current, *state, self)
        return spikes, HerdingState(phi, total)

    def forward(
        self, current: Tensor, state: HerdingState | tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, HerdingState]:
        """Run over time: ``current [T, B, ...]`` to spikes ``[T, B, ...]`` and the last state."""
        owner = type(self).__name__
        _checks.sequence(owner, current)
        phi, total = (None, None) if state is None else state
        spikes, phi, totals = _Sequence.apply(current, phi, total, self)
        _checks.finite(owner, "current", totals[-1])
        return spikes, HerdingState(phi, totals[-1])

    def drive(self, total: Tensor, current: Tensor) -> Tensor:
        """What the count follows, in quanta."""
        drive = total
        if self.kd:
            drive = self.kp * total + self.kd * current
        return drive if self.quantum == 1 else drive / self.quantum

    def sent(self, phi: Tensor, total: Tensor) -> Tensor:
        """Quanta sent so far: the part of the sum that is not in ``phi`` any more."""
        return ((self.kp * total - phi) / self.quantum).round()

    def counts(self, drive: Tensor, start: Tensor) -> Tensor:
        """Count after every step, for a ``drive [T, ...]`` in quanta and the count before."""
        low, high = self.count_range(drive)
        if high is None:
            return torch.maximum(_running_max(low), start)
        if not torch.compiler.is_compiling() and torch.equal(low, high):  # no sum at a half
            return high
        return start.clamp(*_scan(low, high)).add_(0.0)


def lowest(drive: Tensor) -> Tensor:
    """Smallest count that leaves no more than half a quantum."""
    return (drive - 0.5).ceil_().add_(0.0)  # ceil gives -0.0, which is no count


def _running_max(low: Tensor) -> Tensor:
    """Cumulative maximum over time; ``low`` may be overwritten."""
    if low.is_cuda or torch.compiler.is_compiling():
        return low.cummax(0).values
    for before, now in pairwise(low.unbind(0)):  # cummax is up to 100 times slower on the CPU
        torch.maximum(before, now, out=now)
    return low


def _scan(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Compose the clamps of all steps up to each: clamps in a row are one clamp."""
    distance = 1
    while distance < len(low):
        later = low[distance:], high[distance:]
        low = torch.cat([low[:distance], low[:-distance].clamp(*later)])
        high = torch.cat([high[:distance], high[:-distance].clamp(*later)])
        distance *= 2
    return low, high


def _remember(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
    unit: Herding = inputs[3]
    _, phi, total = output
    ctx.kd, ctx.kp = unit.kd, unit.kp
    ctx.mark_non_differentiable(*((total,) if unit.kd else (phi, total)))
    ctx.save_for_backward(unit.gate(total) if any(ctx.needs_input_grad) else None)


class _Step(torch.autograd.Function):
    """One time step, straight through: the spikes have the derivative of the drive."""

    @staticmethod
    def forward(
        current: Tensor, phi: Tensor, total: Tensor, unit: Herding
    ) -> tuple[Tensor, Tensor, Tensor]:
        before = unit.sent(phi, total)
        total = total + current
        after = before.clamp(*unit.count_range(unit.drive(total, current)))
        return (after - before) * unit.quantum, unit.kp * total - after * unit.quantum, total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
        _remember(ctx, inputs, output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_phi: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (gate,) = ctx.saved_tensors
        if gate is not None:
            return grad * gate, None, None, None
        if not ctx.kd:
            return grad, None, None, None
        # phi lacks what kd sent ahead; the next step takes it back
        return (ctx.kp + ctx.kd) * grad - ctx.kd * grad_phi, grad, None, None


class _Sequence(torch.autograd.Function):
    """All time steps at once; the same spikes and gradients as :class:`_Step` in a loop."""

    @staticmethod
    def forward(
        current: Tensor, phi: Tensor | None, total: Tensor | None, unit: Herding
    ) -> tuple[Tensor, Tensor, Tensor]:
        if phi is None or total is None:
            before, totals = torch.zeros_like(current[0]), current.cumsum(0)
        else:  # one sum from the carried total on: the additions, and roundings, of the steps
            before = unit.sent(phi, total)
            totals = torch.cat([(total + current[0]).unsqueeze(0), current[1:]]).cumsum(0)
        counts = unit.counts(unit.drive(totals, current), before)
        phi = unit.kp * totals[-1] - counts[-1] * unit.quantum
        spikes = counts.clone()
        spikes[0] -= before
        spikes[1:] -= counts[:-1]
        return (spikes if unit.quantum == 1 else spikes * unit.quantum), phi, totals

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
        _remember(ctx, inputs, output)
        ctx.carried = isinstance(inputs[1], Tensor) and inputs[1].requires_grad

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_phi: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (gate,) = ctx.saved_tensors
        if gate is not None:
            return grad * gate, None, None, None
        if not ctx.kd:
            return grad, None, None, None
        following = torch.cat([grad[1:], grad_phi.unsqueeze(0)])
        first = grad[0] if ctx.carried else None
        return (ctx.kp + ctx.kd) * grad - ctx.kd * following, first, None, None
