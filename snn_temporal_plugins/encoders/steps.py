"""Whole steps: how continuous times are rounded, in one place."""

from __future__ import annotations

from torch import Tensor

from .. import _checks

# A float32 grey level x = I / 255 misses its step by up to 6e-4 steps at t_max = 4096, and exact
# times that are not whole are at least 1/255 away from the next step: 1/512 separates the two.
STEP_TOLERANCE = 2.0**-9


def whole_steps(times: Tensor, t_max: int) -> Tensor:
    """Floor of times that we own, in place; the last step holds whatever fires at the end."""
    return times.add_(STEP_TOLERANCE).floor_().clamp_(max=t_max - 1)


def check_window(owner: str, t_max: float, steps: bool) -> None:
    """Steps are counted, a continuous window is measured."""
    if steps:
        _checks.integer(owner, "t_max", t_max, 1)  # type: ignore[arg-type]
    else:
        _checks.positive(owner, "t_max", t_max)
