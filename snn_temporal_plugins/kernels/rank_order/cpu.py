"""Errors of the rank-order loss, compiled by numba."""

from __future__ import annotations

from ..common.cpu import jit


@jit
def errors(times, labels, t_max, gamma, loss, error, first, last):
    """Loss ``[B]``, and target minus time ``[B, C]``, of the samples of a block.

    The definition is that of :class:`~snn_temporal_plugins.RankOrderLoss`.
    """
    half = times.dtype.type(0.5) / (t_max * t_max)
    for b in range(first, last):
        earliest = min(times[b].min(), t_max)
        wanted, total = min(earliest + gamma, t_max), times.dtype.type(0)
        for j in range(times.shape[1]):
            t = min(times[b, j], t_max)
            target = max(t, wanted)
            if j == labels[b]:
                target = earliest if earliest < t_max else t_max - gamma
            error[b, j] = target - t
            total += error[b, j] * error[b, j]
        loss[b] = total * half
