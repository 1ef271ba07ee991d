"""Operator of the sum pooling: schema, fake version, gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.direct import array, function, plain
from ..common.threads import run_blocks
from . import cpu


def _images(tensor: Tensor) -> np.ndarray:
    """``[..., H, W]`` as a plain array ``[N, H, W]``."""
    return array(tensor.flatten(0, -3))


def _pooled(x: Tensor, kernel: int, scale: float) -> Tensor:
    """Scaled sums of windows of ``x [..., H, W]``."""
    out = x.new_empty(*x.shape[:-2], x.shape[-2] // kernel, x.shape[-1] // kernel)
    source, target = _images(x), out.flatten(0, -3).numpy()
    run_blocks(cpu.forward, len(source), source, kernel, source.dtype.type(scale), target)
    return out


def _spread(g: Tensor, height: int, width: int, kernel: int, scale: float) -> Tensor:
    """Gradient on the images of height and width, from that on the pooled ones."""
    grad = g.new_empty(*g.shape[:-2], height, width)
    source, target = _images(g), grad.flatten(0, -3).numpy()
    run_blocks(cpu.backward, len(source), source, kernel, source.dtype.type(scale), target)
    return grad


sum_pool = torch.library.custom_op("snn_temporal_plugins::sum_pool", _pooled, mutates_args=())
sum_pool_backward = torch.library.custom_op(
    "snn_temporal_plugins::sum_pool_backward", _spread, mutates_args=()
)


@sum_pool.register_fake
def _(x: Tensor, kernel: int, scale: float) -> Tensor:
    return x.new_empty(*x.shape[:-2], x.shape[-2] // kernel, x.shape[-1] // kernel)


@sum_pool_backward.register_fake
def _(g: Tensor, height: int, width: int, kernel: int, scale: float) -> Tensor:
    return g.new_empty(*g.shape[:-2], height, width)


def _setup_context(ctx: Any, inputs: tuple[Tensor, int, float], output: Tensor) -> None:
    x, ctx.kernel, ctx.scale = inputs
    ctx.size = x.shape[-2:]


def _backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
    spread: Any = _spread if plain(g) else sum_pool_backward
    return spread(g, *ctx.size, ctx.kernel, ctx.scale), None, None


sum_pool.register_autograd(_backward, setup_context=_setup_context)
_Direct = function("SumPool", _pooled, _setup_context, _backward)


def pool(x: Tensor, kernel: int, scale: float) -> Tensor:
    """Scaled sums of windows of ``x [..., H, W]``."""
    return _Direct.apply(x, (kernel, scale)) if plain(x) else sum_pool(x, kernel, scale)
