"""Leaky integrate-and-fire with an exponential synaptic current, from one event to the next.

With rates ``leak = 1 / tau_mem`` and ``decay = 1 / tau_syn`` and the state ``(v, i)`` at an event

    V(s) = v exp(-leak s) + i K(s),    I(s) = i exp(-decay s),
    K(s) = (exp(-leak s) - exp(-decay s)) / (decay - leak).

Every formula here holds for any two rates, equal ones and ``leak = 0`` included, without loss of
digits where they nearly agree. Times are relative: nothing overflows, however long the window.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

NEWTON_STEPS = 200  # quadratic convergence needs 6; a crossing that nearly touches, about 30
FAR = 800.0  # time constants after which every exponential is 0, in float64 too


class Constants(NamedTuple):
    """Constants of one neuron model."""

    threshold: float
    leak: float  #: 1 / tau_mem; 0 for a neuron that does not leak
    decay: float  #: 1 / tau_syn

    @classmethod
    def of(
        cls, threshold: float | Tensor, tau_mem: float | Tensor, tau_syn: float | Tensor
    ) -> Constants:
        """Rates of time constants, which may be learned."""
        return cls(number(threshold), 1 / number(tau_mem), 1 / number(tau_syn))

    @property
    def far(self) -> float:
        """Time after which nothing changes any more."""
        return FAR / min(self.decay, self.leak or self.decay)

    @property
    def psp_peak(self) -> float:
        """Time from a single input to the peak of the potential it causes."""
        gap = self.decay - self.leak
        if not self.leak:
            return self.far
        return math.log1p(gap / self.leak) / gap if gap else 1 / self.decay


def number(value: float | Tensor) -> float:
    """Value of a constant that may be a learned tensor."""
    return value.item() if isinstance(value, Tensor) else value


def psp(s: Tensor, c: Constants) -> Tensor:
    """Potential ``K(s)`` that one unit of weight causes after a time ``s >= 0``."""
    slow, gap = min(c.leak, c.decay), abs(c.decay - c.leak)
    rise = -torch.expm1(-gap * s) / gap if gap else s
    return torch.exp(-slow * s) * rise


def psp_by_leak(s: Tensor, c: Constants) -> Tensor:
    """Derivative of ``K(s)`` by the rate of the membrane; swap the rates for the other one."""
    gap = c.decay - c.leak
    x = gap * s
    near = x.abs() < 0.5
    term = series = torch.full_like(s, -0.5)  # of (phi(x) - 1) / x, phi(x) = (1 - exp(-x)) / x
    y = x.where(near, torch.zeros_like(x))
    for k in range(3, 16):
        term = term * (-y / k)
        series = series + term
    close = s * s * torch.exp(-c.leak * s) * series
    if not gap:
        return close
    return close.where(near, (psp(s, c) - s * torch.exp(-c.leak * s)) / gap)


def potential(v: Tensor, i: Tensor, s: Tensor, c: Constants) -> Tensor:
    """Potential a time ``s`` after the state ``(v, i)``."""
    return v * torch.exp(-c.leak * s) + i * psp(s, c)


def rise(v: Tensor, i: Tensor, within: Tensor, c: Constants) -> tuple[Tensor, Tensor, Tensor]:
    """Where the potential rises from ``(v, i)``: until when, how high, and whether to its peak.

    Only rising potentials can reach a positive threshold. The time ends at ``within``; where the
    potential does not rise, the level is ``-inf``.
    """
    gap = c.decay - c.leak
    slope, tail = i - c.leak * v, i + gap * v
    rising = (i > 0) & (slope > 0) & (tail > 0)
    one = torch.ones_like(v)
    ratio = slope.where(rising, one) / (c.leak * tail.where(rising, one))
    peak = torch.log1p(gap * ratio) / gap if gap else ratio  # leak 0: never
    top = torch.minimum(peak, within).where(rising, torch.zeros_like(v)).clamp(max=c.far)
    level = potential(v, i, top, c).masked_fill(~rising, float("-inf"))
    return top, level, rising & (peak <= within)


def crossing(v: Tensor, i: Tensor, within: Tensor, c: Constants) -> tuple[Tensor, Tensor, Tensor]:
    """Delay until the potential crosses the threshold upwards (``inf``: it does not).

    Also returns until when the potential rises and how high, as :func:`rise` does. Reaching the
    threshold at the very end of ``within`` counts, touching it with a peak does not.
    """
    top, level, peaked = rise(v, i, within, c)
    crosses = torch.where(peaked, level > c.threshold, level >= c.threshold)
    delay = torch.full_like(v, float("inf"))
    if crosses.any():
        solve = _quadratic if c.decay == 2 * c.leak else _newton
        delay[crosses] = solve(v[crosses], i[crosses], top[crosses], c)
    return delay, top, level


def _quadratic(v: Tensor, i: Tensor, top: Tensor, c: Constants) -> Tensor:
    """Where ``tau_mem = 2 tau_syn``: the larger root for ``y = exp(-leak s)``."""
    a, b = i, v * c.leak + i
    root = (b * b - 4 * a * c.threshold * c.leak).clamp(min=0).sqrt()
    return torch.minimum(-((b + root) / (2 * a)).clamp(max=1).log() / c.leak, top)


def _newton(v: Tensor, i: Tensor, top: Tensor, c: Constants) -> Tensor:
    """Newton's method from the left: up to its peak the potential is concave, so it cannot pass."""
    s = torch.zeros_like(v)
    for _ in range(NEWTON_STEPS):
        level = potential(v, i, s, c)
        slope = i * torch.exp(-c.decay * s) - c.leak * level
        step = (c.threshold - level) / slope
        moved = torch.minimum(s + step.where(step > 0, torch.zeros_like(step)), top)
        if torch.equal(moved, s):
            break
        s = moved
    return s
