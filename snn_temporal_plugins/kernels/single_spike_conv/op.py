"""Operators of the convolutional single-spike layer: schema, fake version, gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...neurons.base import Window
from ...neurons.single_spike_times import Rule, errors
from ..common.direct import function, plain, scalar_type
from ..common.images import channels_last
from ..common.threads import run_blocks
from ..integrate.cpu import LANES
from ..single_spike.op import BITS, padded, weight_rows
from . import cpu

CHUNKS = 8  # of the samples, summed one after the other: the same bits for any number of threads


def _run(
    times: Tensor,
    weight: Tensor,
    backward_weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    threshold: float,
    delay: int,
    t_max: float,
    width: float | None,
    beta: float,
    error_to_silent: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Spike times of one convolution without groups, and what its gradient needs.

    ``times [B, C, H, W]``, ``weight`` and ``backward_weight [O, C, kh, kw]``, the fields of a
    :class:`~snn_temporal_plugins.neurons.base.Window` and of a
    :class:`~snn_temporal_plugins.neurons.single_spike_times.Rule`. The results, ``[B, O, H', W']``
    with their channels last in memory, are those of ``single_spike_if``.
    """
    result = _results(times, weight, Window(stride, padding, dilation), width)
    scalar = scalar_type(times)
    inputs = channels_last(times).flatten(1).numpy()
    rows = weight_rows(channels_last(weight).flatten(1)).numpy()
    run_blocks(
        cpu.forward,
        len(times),
        inputs,
        inputs.view(BITS[times.dtype]),
        rows,
        padded(weight, bias),
        scalar(threshold),
        scalar(delay),
        scalar(t_max),
        _geometry(times, weight, Window(stride, padding, dilation)),
        *(channels_last(tensor).flatten(1, 2).numpy() for tensor in result),
    )
    return result


def _results(
    times: Tensor, weight: Tensor, window: Window, width: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    rows, columns = window.size(times.shape[2:4], weight.shape[2:])
    shape = times.shape[0], rows, columns, weight.shape[0]
    peaks = shape if width is not None else (*shape[:3], 0)
    out, potential, until, peak, peak_time = (
        times.new_empty(size).permute(0, 3, 1, 2) for size in (shape, shape, shape, peaks, peaks)
    )
    return out, potential, until, peak, peak_time


def _geometry(times: Tensor, weight: Tensor, window: Window) -> tuple[int, ...]:
    """Sizes in the order in which the loops expect them."""
    top, _, left, _ = window.padding
    across = window.size(times.shape[2:4], weight.shape[2:])[1]
    kernel = weight.shape[2:]
    return *times.shape[2:4], across, *kernel, *window.stride, top, left, *window.dilation


single_spike_if_conv = torch.library.custom_op(
    "snn_temporal_plugins::single_spike_if_conv", _run, mutates_args=()
)


@single_spike_if_conv.register_fake
def _(
    times: Tensor,
    weight: Tensor,
    backward_weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    threshold: float,
    delay: int,
    t_max: float,
    width: float | None,
    beta: float,
    error_to_silent: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _results(times, weight, Window(stride, padding, dilation), width)


def _run_backward(
    times: Tensor,
    weight: Tensor,
    error: Tensor,
    until: Tensor,
    peak: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    threshold: float,
    t_max: float,
    width: float | None,
    beta: float,
    error_to_silent: bool,
    times_needed: bool,
    weight_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the input times, the weights and the bias; one that is not needed is empty.

    ``error [B, O, H', W']`` is the gradient on the potential or, with ``peak``, on the spike times
    behind a triangular gate; the inputs at or before ``until`` share it.
    """
    scalar = scalar_type(times)
    window = Window(stride, padding, dilation)
    inputs, last = channels_last(times), channels_last(weight)
    taps = last[0].numel()
    carriers = F.pad(last.flatten(1), (0, -taps % LANES))
    grad_times = inputs.new_empty(inputs.shape if times_needed else (len(times), 0, 0, 0))
    grad_bias = weight.new_empty(CHUNKS, len(weight))
    grad_weight = weight.new_empty(CHUNKS, *(carriers.shape if weight_needed else (0, 0)))
    run_blocks(
        cpu.backward,
        CHUNKS,
        inputs.flatten(1).numpy(),
        *(channels_last(tensor).flatten(1, 2).numpy() for tensor in (until, error, peak)),
        scalar(threshold),
        scalar(1 if width is None else width),
        scalar(t_max if error_to_silent else float("nan")),  # no time is >= NaN
        carriers.numpy(),
        scalar(beta),
        _geometry(times, weight, window),
        grad_times.flatten(1).numpy(),
        grad_weight.numpy(),
        grad_bias.numpy(),
    )
    total = grad_weight.sum(0)
    if weight_needed:
        total = total[:, :taps].unflatten(1, last.shape[1:]).permute(0, 3, 1, 2).contiguous()
    return grad_times.permute(0, 3, 1, 2), total, grad_bias.sum(0)


single_spike_if_conv_backward = torch.library.custom_op(
    "snn_temporal_plugins::single_spike_if_conv_backward", _run_backward, mutates_args=()
)


@single_spike_if_conv_backward.register_fake
def _(
    times: Tensor,
    weight: Tensor,
    error: Tensor,
    until: Tensor,
    peak: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    threshold: float,
    t_max: float,
    width: float | None,
    beta: float,
    error_to_silent: bool,
    times_needed: bool,
    weight_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    batch, channels, height, width = times.shape
    shape = (batch, height, width, channels) if times_needed else (batch, 0, 0, 0)
    grad_weight = weight.new_empty(weight.shape if weight_needed else (0, 0))
    return times.new_empty(shape).permute(0, 3, 1, 2), grad_weight, weight.new_empty(len(weight))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    times, _, backward_weight, bias, stride, padding, dilation, *rule = inputs
    ctx.save_for_backward(times, backward_weight, *output[2:])
    ctx.rule, ctx.window, ctx.has_bias = Rule(*rule), (stride, padding, dilation), bias is not None
    ctx.mark_non_differentiable(*output[2:])
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, grad_times: Tensor | None, grad_potential: Tensor | None, *_: Any
) -> tuple[Tensor | None, ...]:
    times, backward_weight, until, peak, peak_time = ctx.saved_tensors
    rule: Rule = ctx.rule
    backward: Any = _run_backward if plain(times) else single_spike_if_conv_backward
    needed = ctx.needs_input_grad[:2]
    no_peak = peak[:, :0]
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    if rule.width is None:
        (found,) = errors(grad_times, grad_potential, until, None, rule)
        parts.append((*found, no_peak))
    else:  # the loops apply the gate, to the few errors that are not zero
        if grad_times is not None:
            parts.append((grad_times, peak_time, peak))
        if grad_potential is not None:
            parts.append((grad_potential, until, no_peak))
    sums: list[Any] = [None, None, None]  # of times, weight, bias
    for part in parts:
        found = backward(
            times,
            backward_weight,
            *part,
            *ctx.window,
            rule.threshold,
            rule.t_max,
            rule.width,
            rule.beta,
            rule.error_to_silent,
            *needed,
        )
        sums = [new if old is None else old + new for old, new in zip(sums, found, strict=True)]
    wanted = *needed, ctx.has_bias
    grad_in, grad_weight, grad_bias = (
        grad if want else None for grad, want in zip(sums, wanted, strict=True)
    )
    return grad_in, grad_weight, None, grad_bias, *[None] * 9


single_spike_if_conv.register_autograd(_backward, setup_context=_setup_context)
_Direct = function("ConvolvedSingleSpikes", _run, _setup_context, _backward)


def spike_times(
    times: Tensor,
    weight: Tensor,
    backward_weight: Tensor,
    bias: Tensor | None,
    window: Window,
    rule: Rule,
) -> tuple[Tensor, Tensor]:
    """Spike times and potentials ``[B, O, H', W']`` of one convolution."""
    constants = *window, *rule[:-1]  # without the length
    if plain(times):
        return _Direct.apply(times, weight, backward_weight, bias, constants)[:2]
    return single_spike_if_conv(times, weight, backward_weight, bias, *constants)[:2]
