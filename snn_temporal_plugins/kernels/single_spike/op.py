"""Operators of the single-spike integrate-and-fire layer: schema, fake version, gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...neurons.single_spike_times import Rule, errors
from ..common.cpu import STRIP, transpose
from ..common.direct import array, function, plain, scalar_type
from ..common.threads import run_blocks
from ..integrate.cpu import LANES
from . import cpu

BITS = {torch.float32: np.uint32, torch.float64: np.uint64}


def _run(
    times: Tensor,
    weight: Tensor,
    backward_weight: Tensor,
    bias: Tensor | None,
    threshold: float,
    delay: int,
    t_max: float,
    width: float | None,
    beta: float,
    error_to_silent: bool,
    error_length: float | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Spike times of one layer, and what its gradient needs, all ``[B, O]``.

    ``times [B, I]``, ``weight`` and ``backward_weight [O, I]``, ``bias [O]``, and the fields of
    :class:`~snn_temporal_plugins.neurons.single_spike_times.Rule`. The results are spike times,
    potentials, the step of the crossing (or the last one), and with a ``width`` the peaks of the
    potentials and their steps; without, these two are empty.
    """
    result = _results(times, weight, width)
    scalar, inputs = scalar_type(times), array(times)
    rest = padded(weight, bias), *map(scalar, (threshold, delay, t_max)), *map(array, result)
    problem = inputs, inputs.view(BITS[times.dtype]), weight_rows(weight).numpy()
    work = len(times) * weight.numel()
    run_blocks(cpu.forward, len(times), *problem, *rest, work=work)
    return result


def _results(
    times: Tensor, weight: Tensor, width: float | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    shape = times.shape[0], weight.shape[0]
    peaks = (0, 0) if width is None else shape
    out, potential, until = (times.new_empty(shape) for _ in range(3))
    return out, potential, until, times.new_empty(peaks), times.new_empty(peaks)


def weight_rows(weight: Tensor) -> Tensor:
    """Weights ``[I + 1, O']`` of each input, padded with zeros to whole vectors and by a row."""
    outputs, inputs = weight.shape
    rows = weight.new_empty(inputs + 1, outputs + -outputs % LANES)
    write_transposed(weight.detach().contiguous(), rows)
    return rows


def write_transposed(source: Tensor, target: Tensor) -> None:
    """Write ``source [O, I]`` to the corner of ``target [I', O']``, and zeros to the rest of it."""
    strips, work = -(-len(target) // STRIP), 16 * target.numel()
    run_blocks(transpose, strips, source.numpy(), target.numpy(), work=work)


def padded(weight: Tensor, bias: Tensor | None) -> np.ndarray:
    """Bias ``[O']`` of the neurons, padded with zeros to whole vectors; empty if there is none."""
    if bias is None:
        return np.empty(0, scalar_type(weight))
    return F.pad(bias.detach(), (0, -len(bias) % LANES)).numpy()


single_spike_if = torch.library.custom_op(
    "snn_temporal_plugins::single_spike_if", _run, mutates_args=()
)


@single_spike_if.register_fake
def _(
    times: Tensor,
    weight: Tensor,
    backward_weight: Tensor,
    bias: Tensor | None,
    threshold: float,
    delay: int,
    t_max: float,
    width: float | None,
    beta: float,
    error_to_silent: bool,
    error_length: float | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _results(times, weight, width)


def _run_backward(
    times: Tensor,
    weight: Tensor,
    delta: Tensor,
    until: Tensor,
    t_max: float,
    beta: float,
    error_to_silent: bool,
    times_needed: bool,
    weight_needed: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients of the input times and the weights; one that is not needed is empty.

    ``delta [B, O]`` is the gradient on the potential; the inputs at or before ``until [B, O]``
    share it, carried back by ``weight [O, I]``.
    """
    grad_times, grad_weight = _gradients(times, weight, times_needed, weight_needed)
    scalar = scalar_type(times)
    inputs, causes, error, carriers = (array(tensor) for tensor in (times, until, delta, weight))
    work = len(times) * weight.numel()
    if times_needed:
        silent = scalar(t_max if error_to_silent else np.nan)  # no time is >= NaN
        problem = inputs, causes, silent, error, carriers, scalar(beta), grad_times.numpy()
        run_blocks(cpu.input_errors, len(times), *problem, work=work)
    if weight_needed:
        shared = inputs, causes, error, grad_weight.numpy()
        run_blocks(cpu.weight_errors, len(weight), *shared, work=work)
    return grad_times, grad_weight


def _gradients(
    times: Tensor, weight: Tensor, times_needed: bool, weight_needed: bool
) -> tuple[Tensor, Tensor]:
    grad_times = times.new_empty(times.shape if times_needed else (0,))
    return grad_times, weight.new_empty(weight.shape if weight_needed else (0,))


single_spike_if_backward = torch.library.custom_op(
    "snn_temporal_plugins::single_spike_if_backward", _run_backward, mutates_args=()
)


@single_spike_if_backward.register_fake
def _(
    times: Tensor,
    weight: Tensor,
    delta: Tensor,
    until: Tensor,
    t_max: float,
    beta: float,
    error_to_silent: bool,
    times_needed: bool,
    weight_needed: bool,
) -> tuple[Tensor, Tensor]:
    return _gradients(times, weight, times_needed, weight_needed)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    times, _, backward_weight, bias, *rule = inputs
    ctx.save_for_backward(times, backward_weight, *output[2:])
    ctx.rule, ctx.has_bias = Rule(*rule), bias is not None
    ctx.mark_non_differentiable(*output[2:])
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, grad_times: Tensor | None, grad_potential: Tensor | None, *_: Any
) -> tuple[Tensor | None, ...]:
    times, backward_weight, until, peak, peak_time = ctx.saved_tensors
    rule: Rule = ctx.rule
    backward: Any = _run_backward if plain(times) else single_spike_if_backward
    if grad_times is None and grad_potential is None:
        return (None,) * len(ctx.needs_input_grad)
    gate = None if rule.width is None else (peak, peak_time)
    needed = ctx.needs_input_grad[:2]
    if plain(times) and (gate is None or grad_potential is None):
        delta = _joint_errors(grad_times, grad_potential, peak, rule)
        parts = [(delta, until if gate is None else peak_time)]
    else:
        parts = errors(grad_times, grad_potential, until, gate, rule)
    grads: list[Tensor | None] = [None, None, None]  # of times, weight, bias
    for delta, causes in parts:
        found = backward(
            times,
            backward_weight,
            delta,
            causes,
            rule.t_max,
            rule.beta,
            rule.error_to_silent,
            *needed,
        )
        shares = *found, (delta * (causes + 1)).sum(0) if ctx.has_bias else None
        grads = [
            a if b is None else b if a is None else a + b
            for a, b in zip(grads, shares, strict=True)
        ]
    grad_in, grad_weight = (g if wanted else None for g, wanted in zip(grads, needed, strict=False))
    return grad_in, grad_weight, None, grads[2], *[None] * 7


def _joint_errors(
    grad_times: Tensor | None, grad_potential: Tensor | None, peak: Tensor, rule: Rule
) -> Tensor:
    """Error ``[B, O]`` of the potential, where it is a single one: ``errors`` in one call."""
    given: Any = grad_potential if grad_times is None else grad_times
    delta = torch.empty_like(given, memory_format=torch.contiguous_format)
    scalar = scalar_type(delta)
    none = np.empty((0, 0), scalar)
    run_blocks(
        cpu.join_errors,
        len(delta),
        *(none if g is None else g.contiguous().numpy() for g in (grad_times, grad_potential)),
        peak.numpy(),
        *map(scalar, (rule.threshold, rule.width or 1)),
        rule.error_length or 0.0,
        delta.numpy(),
        work=0,
    )
    return delta


single_spike_if.register_autograd(_backward, setup_context=_setup_context)
_Direct = function("SingleSpikes", _run, _setup_context, _backward)


def spike_times(
    times: Tensor, weight: Tensor, backward_weight: Tensor, bias: Tensor | None, rule: Rule
) -> tuple[Tensor, Tensor]:
    """Spike times and potentials ``[B, O]`` of one layer."""
    if plain(times):
        return _Direct.apply(times, weight, backward_weight, bias, rule)[:2]
    return single_spike_if(times, weight, backward_weight, bias, *rule)[:2]
