"""Errors of the rank-order loss; the loss itself knows their gradient."""

from __future__ import annotations

from torch import Tensor

from ..._backends import register
from ..common.direct import array, scalar_type
from ..common.threads import run_blocks
from . import cpu


@register
def rank_order_errors(
    times: Tensor, labels: Tensor, t_max: float, gamma: float
) -> tuple[Tensor, Tensor]:
    """Target minus time ``[B, C]``, and loss ``[B]``, of output times ``[B, C]``."""
    error, loss = times.new_empty(times.shape), times.new_empty(len(times))
    arrays = array(times), array(labels), *map(scalar_type(times), (t_max, gamma))
    results = loss.numpy(), error.numpy()
    run_blocks(cpu.errors, len(times), *arrays, *results, work=times.numel())
    return error, loss
