"""Operators of the exact LIF layer: schema, fake version, gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...neurons.exact_lif_adjoint import (
    pull_of_silent,
    push_silent,
    smallest_slope,
    spike_errors,
    sweep_back,
)
from ...neurons.exact_lif_dynamics import Constants
from ...neurons.exact_lif_forward import Events, Found, Rule
from ..common.direct import array
from ..common.threads import run_blocks
from ..exact_lif_backward import cpu as backward_cpu
from ..single_spike.op import BITS, weight_rows, write_transposed
from . import cpu

CHUNK = 256  # output neurons whose sums over input times belong together
Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("snn_temporal_plugins::exact_lif", mutates_args=())
def exact_lif(
    times: Tensor,
    weight: Tensor,
    carrier: Tensor,
    threshold: Tensor,
    tau_mem: Tensor,
    tau_syn: Tensor,
    peaks: bool,
    max_spikes: int,
    t_max: float,
    count_on: bool,
    slope_min: float,
    silent: str,
    push: float,
) -> Outputs:
    """Spikes of one layer, and what its gradient needs.

    ``times [B, I]`` or ``[B, I, K']``, ``weight`` and ``carrier [O, I]``, the constants scalar
    tensors; ``peaks`` asks for the largest potentials of silent neurons; the rest are the fields
    of :class:`~snn_temporal_plugins.neurons.exact_lif_forward.Rule`. The results are spike times
    and slopes ``[B, O, K]``, peaks, their times and spike counts ``[B, O]``, and in time order
    the input spikes and the output spikes with their numbers.
    """
    out = _results(times, weight, max_spikes)
    c = Constants.of(threshold, tau_mem, tau_syn)
    inputs = array(times.flatten(1))
    run_blocks(
        cpu.forward,
        len(times),
        inputs,
        inputs.view(BITS[times.dtype]),
        times.shape[2] if times.dim() == 3 else 1,
        weight_rows(weight).numpy(),
        (*c, c.decay == 2 * c.leak),
        max_spikes + count_on,
        t_max,
        peaks,
        *(tensor.numpy() for tensor in out),
    )
    return out


def _results(times: Tensor, weight: Tensor, max_spikes: int) -> Outputs:
    batch, outputs, inputs = times.shape[0], weight.shape[0], times[0].numel() if len(times) else 0
    counts = torch.int32

    def empty(*shape: int, dtype: torch.dtype = times.dtype) -> Tensor:
        return times.new_empty(shape, dtype=dtype)

    return (
        empty(batch, outputs, max_spikes),
        empty(batch, outputs, max_spikes),
        times.new_zeros(batch, outputs),
        times.new_zeros(batch, outputs),
        empty(batch, outputs, dtype=counts),
        empty(batch, inputs, dtype=counts),
        empty(batch, dtype=counts),
        empty(batch, outputs * max_spikes, dtype=counts),
        empty(batch, dtype=counts),
    )


@exact_lif.register_fake
def _(
    times: Tensor,
    weight: Tensor,
    carrier: Tensor,
    threshold: Tensor,
    tau_mem: Tensor,
    tau_syn: Tensor,
    peaks: bool,
    max_spikes: int,
    t_max: float,
    count_on: bool,
    slope_min: float,
    silent: str,
    push: float,
) -> Outputs:
    return _results(times, weight, max_spikes)


@torch.library.custom_op("snn_temporal_plugins::exact_lif_backward", mutates_args=())
def exact_lif_backward(
    times: Tensor,
    carrier: Tensor,
    errors: Tensor,
    pull: Tensor,
    out: Tensor,
    slope: Tensor,
    peak_time: Tensor,
    count: Tensor,
    events: Tensor,
    arrived: Tensor,
    fired: Tensor,
    spikes: Tensor,
    constants: list[float],
    floor: float,
    times_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of times (empty unless needed), weights and, per neuron, the threshold."""
    batch, outputs = count.shape
    chunk = _chunk(outputs, times_needed)
    chunks = -(-outputs // chunk)
    rows = weight_rows(carrier)
    lags = times.new_zeros(chunks, batch, events.shape[1] if times_needed else 0)
    gradient, on_threshold = torch.zeros_like(rows), rows.new_zeros(outputs, dtype=torch.float64)
    run_blocks(
        backward_cpu.backward,
        chunks,
        array(times.flatten(1)),
        times.shape[2] if times.dim() == 3 else 1,
        rows.numpy(),
        *(array(x) for x in (errors, pull)),
        *(x.numpy() for x in (out, slope, peak_time, count, events, arrived, fired, spikes)),
        tuple(constants),
        floor,
        chunk,
        *(x.numpy() for x in (lags, gradient, on_threshold)),
    )
    on_times = lags.sum(0).view(times.shape) if times_needed else times.new_empty(0)
    on_weight = carrier.new_empty(carrier.shape)
    write_transposed(gradient[:-1, :outputs], on_weight)
    return on_times, on_weight, on_threshold


def _chunk(outputs: int, times_needed: bool) -> int:
    """Output neurons that a thread takes at once: those of a chunk share sums over input times.

    These sums must not depend on the number of threads; without them, neurons are independent.
    """
    share = CHUNK if times_needed else -(-outputs // torch.get_num_threads())
    return -(-max(share, 1) // cpu.LANES) * cpu.LANES


@exact_lif_backward.register_fake
def _(
    times: Tensor,
    carrier: Tensor,
    errors: Tensor,
    pull: Tensor,
    out: Tensor,
    slope: Tensor,
    peak_time: Tensor,
    count: Tensor,
    events: Tensor,
    arrived: Tensor,
    fired: Tensor,
    spikes: Tensor,
    constants: list[float],
    floor: float,
    times_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    on_times = times.new_empty(times.shape if times_needed else 0)
    return on_times, torch.empty_like(carrier), times.new_empty(len(carrier), dtype=torch.float64)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    times, weight, carrier, *constants = inputs[:6]
    ctx.save_for_backward(times, weight, carrier, *constants, *output)
    ctx.rule = Rule(*inputs[7:])
    ctx.mark_non_differentiable(output[1], *output[3:])
    ctx.set_materialize_grads(False)


def _backward(
    ctx: Any, grad_times: Tensor | None, _: Any, grad_potential: Tensor | None, *__: Any
) -> tuple[Tensor | None, ...]:
    times, weight, carrier, threshold, tau_mem, tau_syn, *output = ctx.saved_tensors
    out, slope, peak, peak_time, count = output[:5]
    rule, c = ctx.rule, Constants.of(threshold, tau_mem, tau_syn)
    needed = ctx.needs_input_grad
    if grad_times is None:
        grad_times = torch.zeros_like(out)
    first, silent = grad_times[..., 0], count == 0
    found = exact_lif_backward(
        times,
        carrier,
        grad_times,
        pull_of_silent(first, grad_potential, rule),
        out,
        slope,
        peak_time,
        count.clamp(max=rule.max_spikes),
        *output[5:],
        list(c),
        smallest_slope(out, c, rule),
        needed[0],
    )
    on_times, on_weight, on_threshold = found
    if rule.silent == "constant":
        on_weight = push_silent(on_weight, silent, rule.push)
    grads: list[Tensor | None] = [on_times if needed[0] else None, on_weight, None]
    total = on_threshold.sum().to(threshold.dtype)
    if grad_potential is not None:
        total = total + grad_potential.masked_fill(silent, 0.0).sum().to(threshold.dtype)
    grads.append(total if needed[3] else None)
    if needed[4] or needed[5]:  # rare: by the reference
        slope = slope.masked_fill(torch.isinf(out), 1.0)
        whole = Found(out, slope, peak, peak_time, count > rule.max_spikes)
        rates = _rate_gradients(times, weight, carrier, grad_times, grad_potential, whole, c, rule)
        grads += [rate if wanted else None for rate, wanted in zip(rates, needed[4:6], strict=True)]
    else:
        grads += [None, None]
    return *grads, *[None] * 7


def _rate_gradients(
    times: Tensor,
    weight: Tensor,
    carrier: Tensor,
    grad_times: Tensor,
    grad_potential: Tensor | None,
    found: Found,
    c: Constants,
    rule: Rule,
) -> tuple[Tensor, Tensor]:
    """Gradients of the two time constants."""
    errors = spike_errors(grad_times, grad_potential, found, c, rule)
    events = Events(times, weight, None, rule.t_max)
    by = sweep_back(events, carrier, errors, c, delays=False, rates=True)
    assert by.leak is not None
    assert by.decay is not None
    return -by.leak.double() * c.leak**2, -by.decay.double() * c.decay**2


exact_lif.register_autograd(_backward, setup_context=_setup_context)
