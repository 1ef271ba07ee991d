"""Spike times of a layer of exact LIF neurons as one differentiable function, in plain torch.

This is the reference that kernels are compared with. It knows nothing of modules or layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .exact_lif_adjoint import push_silent, spike_errors, sweep_back
from .exact_lif_dynamics import Constants
from .exact_lif_forward import Events, Found, Rule, find_spikes


class SpikeTimes(torch.autograd.Function):
    """Spike times ``[B, O, K]``, potentials and truncation ``[B, O]`` of a layer.

    ``constants`` are threshold, tau_mem and tau_syn, each a number or a scalar tensor.
    """

    @staticmethod
    def forward(
        ctx: Any,
        times: Tensor,
        weight: Tensor,
        carrier: Tensor,
        delay: Tensor | None,
        threshold: Any,
        tau_mem: Any,
        tau_syn: Any,
        rule: Rule,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        c = Constants.of(threshold, tau_mem, tau_syn)
        carrier = carrier.detach()
        events = Events(times, weight, delay, rule.t_max)
        found = find_spikes(events, c, rule)
        ctx.save_for_backward(times, weight, carrier, delay, *found)
        ctx.constants, ctx.rule = c, rule
        ctx.mark_non_differentiable(found.truncated)
        return found.times, found.peak, found.truncated

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_times: Tensor | None, grad_potential: Tensor | None, _: Any
    ) -> tuple[Tensor | None, ...]:
        times, weight, carrier, delay, *saved = ctx.saved_tensors
        c, rule, found = ctx.constants, ctx.rule, Found(*saved)
        errors = spike_errors(grad_times, grad_potential, found, c, rule)
        events = Events(times, weight, delay, rule.t_max)
        *_, on_delay, on_threshold, on_mem, on_syn, _ = ctx.needs_input_grad
        grads = sweep_back(events, carrier, errors, c, delays=on_delay, rates=on_mem or on_syn)
        on_weight = grads.weight
        if rule.silent == "constant":
            on_weight = push_silent(on_weight, errors.silent, rule.push)
        return (
            grads.times,
            on_weight,
            None,
            grads.delay,
            grads.threshold if on_threshold else None,
            None if grads.leak is None or not on_mem else -grads.leak * c.leak**2,
            None if grads.decay is None or not on_syn else -grads.decay * c.decay**2,
            None,
        )
