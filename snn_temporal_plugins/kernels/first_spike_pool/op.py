"""Operator of the pooling on first spikes: schema, fake version, gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..common.direct import function, plain
from ..common.images import channels_last
from ..common.threads import run_blocks
from . import cpu


def _pooled(times: Tensor, kernel: int) -> Tensor:
    """Earliest spikes of windows of ``times [B, C, H, W]``, channels last in memory."""
    out = _result(times, kernel)
    arrays = channels_last(times).numpy(), kernel, channels_last(out).numpy()
    run_blocks(cpu.forward, len(times), *arrays)
    return out


def _result(times: Tensor, kernel: int) -> Tensor:
    batch, channels, height, width = times.shape
    return times.new_empty(batch, height // kernel, width // kernel, channels).permute(0, 3, 1, 2)


def _spread(times: Tensor, out: Tensor, error: Tensor, kernel: int) -> Tensor:
    """Gradient of the times ``[B, C, H, W]`` from that of the earliest ones."""
    batch, channels, height, width = times.shape
    gradient = times.new_empty(batch, height, width, channels)
    arrays = (channels_last(tensor).numpy() for tensor in (times, out, error))
    run_blocks(cpu.backward, batch, *arrays, kernel, gradient.numpy())
    return gradient.permute(0, 3, 1, 2)


first_spike_pool = torch.library.custom_op(
    "snn_temporal_plugins::first_spike_pool", _pooled, mutates_args=()
)
first_spike_pool_backward = torch.library.custom_op(
    "snn_temporal_plugins::first_spike_pool_backward", _spread, mutates_args=()
)


@first_spike_pool.register_fake
def _(times: Tensor, kernel: int) -> Tensor:
    return _result(times, kernel)


@first_spike_pool_backward.register_fake
def _(times: Tensor, out: Tensor, error: Tensor, kernel: int) -> Tensor:
    batch, channels, height, width = times.shape
    return times.new_empty(batch, height, width, channels).permute(0, 3, 1, 2)


def _setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    times, ctx.kernel = inputs
    ctx.save_for_backward(times, output)


def _backward(ctx: Any, error: Tensor) -> tuple[Tensor, None]:
    times, out = ctx.saved_tensors
    spread: Any = _spread if plain(error) else first_spike_pool_backward
    return spread(times, out, error, ctx.kernel), None


first_spike_pool.register_autograd(_backward, setup_context=_setup_context)
_Direct = function("FirstSpikePool", _pooled, _setup_context, _backward)


def pool(times: Tensor, kernel: int) -> Tensor:
    """Earliest spikes of windows of ``times [B, C, H, W]``."""
    return _Direct.apply(times, (kernel,)) if plain(times) else first_spike_pool(times, kernel)
