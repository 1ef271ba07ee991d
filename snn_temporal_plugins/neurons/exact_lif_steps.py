"""Clocked form of the exact LIF neuron: equations solved inside a step, adjoint gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .exact_lif_dynamics import Constants, crossing, potential, psp

MOST_PER_STEP = 500  #: spikes of one neuron in one step; each is solved and stored


class _Advance(torch.autograd.Function):
    """One step of length ``dt``: jump of the current, then all spikes inside the step."""

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        i: Tensor,
        v: Tensor,
        before: Tensor,
        c: Constants,
        dt: float,
        slope_min: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        i = i + current
        left, spikes = torch.full_like(v, dt), torch.zeros_like(v)
        # of each rank of spikes: time since the one before, slope, whether there is one
        passed: list[Tensor] = []
        while True:
            delay, _, _ = crossing(v, i, left, c)
            fired = torch.isfinite(delay)
            if not fired.any():
                break
            if len(passed) >= 3 * MOST_PER_STEP:
                raise ValueError(
                    f"ExactLIF: a current of {current.max().item():g} makes a neuron fire more "
                    f"than {MOST_PER_STEP} times in one step; scale the weights down "
                    "(calibrate_) or take a smaller dt."
                )
            delay = delay.masked_fill(~fired, 0.0)
            i = i * torch.exp(-c.decay * delay)
            left, v, spikes = left - delay, v.masked_fill(fired, 0.0), spikes + fired
            passed += [delay, i - c.threshold * c.leak, fired]
        ctx.save_for_backward(left, *passed)
        ctx.constants, ctx.dt, ctx.slope_min = c, dt, slope_min
        state = i * torch.exp(-c.decay * left), potential(v, i, left, c)
        return spikes, *state, spikes.clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, on_spikes: Tensor, on_i: Tensor, on_v: Tensor, on_before: Tensor
    ) -> tuple[Tensor | None, ...]:
        c: Constants = ctx.constants
        left, *passed = ctx.saved_tensors
        floor = max(ctx.slope_min, torch.finfo(left.dtype).eps) * c.threshold * c.decay
        earlier = (on_spikes + on_before) / ctx.dt  # on_before: minus on_spikes of the next step
        on_i, on_v = _back(on_i, on_v, left, c)
        for k in range(len(passed) - 3, -1, -3):
            delay, slope, fired = passed[k : k + 3]
            error = c.threshold * c.leak * on_v + earlier
            on_v = on_v + (error / slope.clamp(min=floor)).masked_fill(~fired, 0.0)
            on_i, on_v = _back(on_i, on_v, delay, c)
        return on_i, on_i, on_v, -on_spikes, None, None, None


def _back(on_i: Tensor, on_v: Tensor, d: Tensor, c: Constants) -> tuple[Tensor, Tensor]:
    """Gradients on current and potential a time ``d`` earlier."""
    return (
        on_i * torch.exp(-c.decay * d) + on_v * psp(d, c),
        on_v * torch.exp(-c.leak * d),
    )


def advance(
    current: Tensor,
    i: Tensor,
    v: Tensor,
    before: Tensor,
    c: Constants,
    dt: float,
    slope_min: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spikes, current, potential and, for the next step, spikes of a step that starts with a jump.

    The gradient on a spike's time is the difference of the gradients on the train in the next step
    and in its own: what a later spike of the layer above would gain. A step cannot see the next
    one, so that passes its gradient back through its argument ``before``.
    """
    return _Advance.apply(current, i, v, before, c, dt, slope_min)
