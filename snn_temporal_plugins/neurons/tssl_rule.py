"""The TSSL-BP recursion in plain torch: the reference that the kernel is compared with.

Masks are floats, 0 or 1: on a CPU a product with a boolean mask costs three times as much, and
``where`` seven.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

STEEPEST = 8.0  # |(u - V) / width| from which on the sigmoid's slope stays as it is


class Rule(NamedTuple):
    """Constants of the neuron and of its gradient; ``inter``, ``intra``, ``leak`` are 0 or 1."""

    theta_mem: float  #: 1 / tau_mem
    theta_syn: float  #: 1 / tau_syn
    threshold: float
    inter: float
    intra: float
    leak: float
    max_slope: float  #: upper end of 1 / du
    width: float  #: of the sigmoid
    silence: float  #: PSC below which a neuron counts as silent; -inf never, inf always
    layer_rate: float  #: rate up to which a whole layer counts as silent; -1: by neuron and step
    spikes: bool  #: put out spikes instead of the PSC


class Run(NamedTuple):
    """What one run over a window returns."""

    out: Tensor  # [T, ...] PSC or spikes
    v: Tensor  # [...] after the last step
    a: Tensor  # [...] PSC after the last step; without gradient if the output is spikes


def simulate(x: Tensor, v: Tensor, a: Tensor, rule: Rule) -> tuple[Run, Tensor, Tensor]:
    """Run over the currents ``x [T, ...]`` from the state ``(v, a)``.

    Also returns the potentials before the reset and the PSCs of the neurons' own spikes.
    """
    out, u, psc = (torch.empty_like(x) for _ in range(3))
    for t, x_t in enumerate(x.unbind(0)):
        du = x_t - rule.theta_mem * v
        torch.add(v, du, out=u[t])
        spike = (u[t] > rule.threshold).to(x.dtype)
        v = u[t] * (1 - spike)
        a = a + rule.theta_syn * (spike - a)
        out[t] = spike if rule.spikes else a
        psc[t] = a
    return Run(out, v, a), u, psc


def adjoint(
    grads: tuple[Tensor, Tensor, Tensor], u: Tensor, psc: Tensor, v0: Tensor, rule: Rule
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients on ``(x, v, a)`` of the start from those on ``(out, v, a)`` of the end."""
    grad_out, grad_v, grad_a = grads
    spikes = (u > rule.threshold).to(u.dtype)
    rule = resolve(rule, spikes)
    keep_v, keep_a = 1 - rule.theta_mem, 1 - rule.theta_syn
    grad_x = torch.empty_like(u)
    carry = grad_v / keep_v
    before = torch.cat([v0.unsqueeze(0), u[:-1] * (1 - spikes[:-1])])
    slope = spikes / (u - before).clamp_(min=1 / rule.max_slope)
    bell = sigmoid_slope(u - rule.threshold, rule.width)
    silent = (psc < rule.silence).to(u.dtype)
    for t in range(len(u) - 1, -1, -1):
        if rule.spikes:
            effect = grad_out[t]
        else:
            gathered = grad_out[t] + grad_a
            effect, grad_a = rule.theta_syn * gathered, keep_a * gathered
        at_spike = slope[t] * (rule.inter * effect + rule.intra * rule.theta_mem * u[t] * carry)
        carry = at_spike + rule.leak * keep_v * (1 - spikes[t]) * carry
        grad_x[t] = silent[t] * bell[t] * effect + (1 - silent[t]) * carry
    return grad_x, keep_v * carry, grad_a


def sigmoid_slope(distance: Tensor, width: float) -> Tensor:
    """Derivative of ``sigmoid(distance / width)``, with a floor far away from 0."""
    s = torch.sigmoid((distance / width).clamp_(-STEEPEST, STEEPEST))
    return s * (1 - s) / width


def resolve(rule: Rule, spikes: Tensor) -> Rule:
    """Decide for the whole layer whether it counts as silent, where the rule asks for that."""
    if rule.layer_rate < 0:
        return rule
    silent = spikes.mean().item() <= rule.layer_rate
    return rule._replace(silence=float("inf") if silent else float("-inf"))


class Reference(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, a: Tensor, rule: Rule) -> Run:
        run, u, psc = simulate(x, v, a, rule)
        ctx.save_for_backward(u, psc, v)
        ctx.rule = rule
        ctx.set_materialize_grads(False)
        if rule.spikes:
            ctx.mark_non_differentiable(run.a)
        return run

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        u, psc, v0 = ctx.saved_tensors
        grads = complete(grads, u, len(u), torch.zeros_like(v0))
        return *adjoint(grads, u, psc, v0, ctx.rule), None


def complete(
    grads: tuple[Tensor | None, ...], like: Tensor, steps: int, zero: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients on output, potential and PSC, zero where nothing came back.

    ``like [T, ...]`` tells the shape of a step; ``zero`` is the zero of potential and PSC.
    """
    out, v, a = grads
    return (
        like.new_zeros(steps, *like.shape[1:]) if out is None else out,
        zero if v is None else v,
        zero if a is None else a,
    )
