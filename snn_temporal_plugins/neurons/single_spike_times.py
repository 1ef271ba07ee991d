"""Event-driven form of the single-spike neuron in plain torch: sort, gather, cumulative sum.

This is the reference that kernels are compared with. It knows nothing of modules or layers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .base import error_scale

CHUNK = 32  # input spikes handled at once: keeps [B, CHUNK, O] inside the cache


class Rule(NamedTuple):
    """Constants of the neuron and of its learning rule."""

    threshold: float
    delay: int
    t_max: float  #: end of the window, ``inf`` for none
    width: float | None  #: width of the triangular gate; ``None`` is the gate of the spike
    beta: float
    error_to_silent: bool  #: whether inputs that stayed silent get an error, too
    error_length: float | None = None  #: to which each sample's error is scaled, behind the gate


class Crossings(NamedTuple):
    """What one forward pass finds out about each neuron, all ``[B, O]``."""

    time: Tensor  #: step of the first crossing, ``inf`` where silent
    potential: Tensor  #: potential there, or at the last step
    peak: Tensor  #: largest potential at which a spike would still leave inside the window
    peak_time: Tensor  #: step of the (first) peak


class SpikeTimes(torch.autograd.Function):
    """Spike times and potentials of a fully connected layer."""

    @staticmethod
    def forward(
        ctx: Any,
        times: Tensor,
        weight: Tensor,
        backward_weight: Tensor,
        bias: Tensor | None,
        rule: Rule,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        times = times.masked_fill(times >= rule.t_max, float("inf"))
        found = first_crossings(times, weight, bias, rule)
        ctx.save_for_backward(times, backward_weight, found.time, found.peak, found.peak_time)
        ctx.rule, ctx.has_bias = rule, bias is not None
        out = found.time + rule.delay
        return out.masked_fill(out >= rule.t_max, float("inf")), found.potential

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_times: Tensor | None, grad_potential: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        times, backward_weight, crossing, peak, peak_time = ctx.saved_tensors
        rule: Rule = ctx.rule
        last = min(rule.t_max - 1, torch.finfo(times.dtype).max)
        gate = (peak, peak_time) if rule.width is not None else None
        parts = errors(grad_times, grad_potential, crossing.clamp(max=last), gate, rule)
        grad_in = torch.zeros_like(times)
        grad_weight = torch.zeros_like(backward_weight)
        grad_bias = None
        for delta, until in parts:
            credit(times, backward_weight, delta, until, rule, grad_in, grad_weight)
            if ctx.has_bias:
                part = (delta * (until + 1)).sum(0)
                grad_bias = part if grad_bias is None else grad_bias + part
        return grad_in, grad_weight, None, grad_bias, None


def errors(
    grad_times: Tensor | None,
    grad_potential: Tensor | None,
    at_crossing: Tensor,
    gate: tuple[Tensor, Tensor] | None,
    rule: Rule,
) -> list[tuple[Tensor, Tensor]]:
    """Pairs of an error dL/dV ``[B, O]`` and the step up to which the inputs share it.

    ``at_crossing`` is the step of the crossing, or the last one; ``gate`` holds the peak of the
    potential and its step.
    """
    parts = []
    if grad_times is not None and gate is not None:
        peak, peak_time = gate
        assert rule.width is not None
        passing = (1 - (peak - rule.threshold).abs() / rule.width).clamp(min=0)
        parts.append((-grad_times * passing, peak_time))
    elif grad_times is not None:
        joint = -grad_times if grad_potential is None else grad_potential - grad_times
        parts.append((joint, at_crossing))
    if grad_potential is not None and (gate is not None or grad_times is None):
        parts.append((grad_potential, at_crossing))
    if rule.error_length is None or not parts:
        return parts
    whole = parts[0][0] if len(parts) == 1 else parts[0][0] + parts[1][0]
    scale = error_scale(whole, rule.error_length)
    return [(delta * scale, until) for delta, until in parts]


def credit(
    times: Tensor,
    backward_weight: Tensor,
    delta: Tensor,
    until: Tensor,
    rule: Rule,
    grad_in: Tensor,
    grad_weight: Tensor,
) -> None:
    """Add the gradients of ``delta [B, O]``, shared by the inputs at or before ``until [B, O]``."""
    for start in range(0, times.shape[1], CHUNK):
        inputs = slice(start, start + CHUNK)
        arrival = times[:, inputs, None]
        causal = arrival <= until[:, None, :]  # [B, CHUNK, O]
        passed = delta[:, None, :] * causal
        grad_weight[:, inputs] += passed.sum(0).T
        if rule.error_to_silent:
            passed = delta[:, None, :] * (causal | torch.isinf(arrival))
        carried = backward_weight[:, inputs].T - rule.beta * delta[:, None, :]
        grad_in[:, inputs] -= (passed * carried).sum(2)


def first_crossings(times: Tensor, weight: Tensor, bias: Tensor | None, rule: Rule) -> Crossings:
    """When each potential first exceeds the threshold: ``times [B, I]``, ``weight [O, I]``."""
    threshold, t_max = rule.threshold, rule.t_max
    if bias is not None:  # an input without weight at step 0 opens the ramp of the bias
        times = torch.cat([times.new_zeros(len(times), 1), times], 1)
        weight = torch.cat([weight.new_zeros(len(weight), 1), weight], 1)
    times, order = times.sort(dim=1, stable=True)
    following = torch.cat([times[:, 1:], times.new_full((len(times), 1), t_max)], 1)
    following = following.clamp(max=t_max)
    rows = weight.T.contiguous()  # [I, O]
    crossing = times.new_full((len(times), len(weight)), float("inf"))
    potential, v = torch.zeros_like(crossing), torch.zeros_like(crossing)
    peak, peak_time = torch.full_like(crossing, float("-inf")), torch.full_like(crossing, -1.0)
    for start in range(0, times.shape[1], CHUNK):
        ranks = slice(start, start + CHUNK)
        now, then = times[:, ranks, None], following[:, ranks, None]  # [B, CHUNK, 1]
        arrived = now < t_max
        if not arrived.any():
            break
        steps = (rows[order[:, ranks]] * arrived).cumsum(1) + v[:, None, :]  # [B, CHUNK, O]
        v = steps[:, -1]
        complete = arrived & (now < then)  # inputs of one time act together
        reached, at = _crossing_of_ramp(steps, now, then, bias, threshold)
        reached = reached & complete
        first = reached.to(torch.uint8).argmax(1, keepdim=True)
        fresh = reached.any(1) & torch.isinf(crossing)
        crossing = torch.where(fresh, at.expand_as(steps).gather(1, first).squeeze(1), crossing)
        potential = torch.where(fresh, steps.gather(1, first).squeeze(1), potential)
        if rule.width is not None:
            peak, peak_time = _peak(peak, peak_time, steps, now, then, complete, bias, rule)
    fired = torch.isfinite(crossing)
    potential = torch.where(fired, potential, v)
    if bias is not None:
        potential = potential + bias * torch.where(fired, crossing + 1, t_max)
    return Crossings(crossing, potential, peak, peak_time)


def _crossing_of_ramp(
    v: Tensor, now: Tensor, then: Tensor, bias: Tensor | None, threshold: float
) -> tuple[Tensor, Tensor]:
    """Whether and when ``v + bias * (t + 1)`` exceeds the threshold in ``now <= t < then``."""
    if bias is None:
        return v > threshold, now
    rising = bias > 0
    wait = ((threshold - v) / bias.where(rising, torch.ones_like(bias))).floor()
    at = torch.where(v + bias * (now + 1) > threshold, now, torch.maximum(wait, now + 1))
    at = torch.where(v + bias * (at + 1) > threshold, at, at + 1)  # floor may round down
    reached = (at == now) | (rising & (at < then))
    return reached & (v + bias * (at + 1) > threshold), at


def _peak(
    peak: Tensor,
    peak_time: Tensor,
    v: Tensor,
    now: Tensor,
    then: Tensor,
    complete: Tensor,
    bias: Tensor | None,
    rule: Rule,
) -> tuple[Tensor, Tensor]:
    """Update the largest potential: on a ramp it stands at one of the two ends."""
    end = rule.t_max - rule.delay  # a crossing at or after it leaves no spike in the window
    at = now.expand_as(v)
    if bias is not None:
        at = torch.where(bias > 0, then.clamp(max=end) - 1, now)
        v = v + bias * (at + 1)
    v = v.masked_fill(~(complete & (now < end)), float("-inf"))
    best, where = v.max(1)
    higher = best > peak
    found = at.gather(1, where.unsqueeze(1)).squeeze(1)
    return torch.where(higher, best, peak), torch.where(higher, found, peak_time)
