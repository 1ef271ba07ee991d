"""Gradients of a layer of exact LIF neurons in plain torch: one sweep in reverse time.

Two adjoint states per neuron are carried; nothing is stored per synapse.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .exact_lif_dynamics import Constants, psp, psp_by_leak
from .exact_lif_forward import Events, Found, Rule


class Errors(NamedTuple):
    """Spikes ``[B, O, K]`` as the reverse sweep sees them, phantoms included."""

    times: Tensor
    slope: Tensor
    error: Tensor  #: gradient of the loss on the time
    silent: Tensor  #: [B, O]
    on_threshold: Tensor | None  #: [B, O], gradient on the threshold from potentials


def spike_errors(
    grad_times: Tensor | None, grad_potential: Tensor | None, found: Found, c: Constants, rule: Rule
) -> Errors:
    """Clip slopes and put phantom spikes, of slope 1 at their peak, into silent neurons.

    A phantom with error ``g`` passes exactly the gradient of ``-g`` times the peak potential.
    """
    never = torch.isinf(found.times)
    silent = never[..., 0]
    if grad_times is None:
        grad_times = torch.zeros_like(found.times)
    pull = pull_of_silent(grad_times[..., 0], grad_potential, rule)
    if grad_potential is not None:
        grad_potential = grad_potential.masked_fill(silent, 0.0)
    floor = smallest_slope(found.times, c, rule)
    times, slope = found.times.clone(), found.slope.clamp(min=floor)
    error = grad_times.masked_fill(never, 0.0)
    times[..., 0] = found.peak_time.where(silent, times[..., 0])
    slope[..., 0] = slope[..., 0].masked_fill(silent, 1.0)
    error[..., 0] = pull.where(silent, error[..., 0])
    return Errors(times, slope, error, silent, grad_potential)


def pull_of_silent(grad_first: Tensor, grad_potential: Tensor | None, rule: Rule) -> Tensor:
    """Gradient on minus the peak potential ``[B, O]``, meant for neurons that stayed silent."""
    pull = torch.zeros_like(grad_first)
    if rule.silent == "phantom":
        pull = grad_first.clamp(min=0) + rule.push / max(1, len(pull))
    return pull if grad_potential is None else pull - grad_potential


def smallest_slope(times: Tensor, c: Constants, rule: Rule) -> float:
    """Slope that derivatives are divided by at least; never 0."""
    return max(rule.slope_min, torch.finfo(times.dtype).eps) * c.threshold * c.decay


class Gradients(NamedTuple):
    """Gradients of everything that a layer depends on."""

    times: Tensor  #: shaped like the input times
    weight: Tensor  #: [O, I]
    delay: Tensor | None  #: [O, I]
    threshold: Tensor
    leak: Tensor | None  #: of 1 / tau_mem
    decay: Tensor | None  #: of 1 / tau_syn


class Adjoint:
    """Adjoint states of every neuron, ``[B, O]``, moved backwards in time.

    ``v`` and ``i`` are minus the gradients on potential and current. With ``rates`` three more
    states follow: what ``v`` and ``i`` would gain per unit of the two rates.
    """

    def __init__(self, like: Tensor, c: Constants, *, rates: bool) -> None:
        self.c, self.rates = c, rates
        self.v, self.i = torch.zeros_like(like), torch.zeros_like(like)
        if rates:
            self.v_leak, self.i_leak, self.i_decay = (torch.zeros_like(like) for _ in range(3))

    def back(self, d: Tensor) -> None:
        """Move by ``d [B, O]``; where it is 0, nothing changes."""
        c = self.c
        k, leak, decay = psp(d, c), torch.exp(-c.leak * d), torch.exp(-c.decay * d)
        if self.rates:
            swapped = Constants(c.threshold, c.decay, c.leak)
            self.i_leak = self.i_leak * decay + self.v_leak * k + self.v * psp_by_leak(d, c)
            self.i_decay = (self.i_decay - d * self.i) * decay + self.v * psp_by_leak(d, swapped)
            self.v_leak = (self.v_leak - d * self.v) * leak
        self.i = self.i * decay + self.v * k
        self.v = self.v * leak

    def spike(self, error: Tensor, slope: Tensor, where: Tensor) -> None:
        """Pass an output spike with ``error`` on its time."""
        reset = self.c.threshold * self.c.leak
        self.v = self.v + ((error + reset * self.v) / slope).masked_fill(~where, 0.0)


def sweep_back(
    events: Events, carrier: Tensor, errors: Errors, c: Constants, *, delays: bool, rates: bool
) -> Gradients:
    """One sweep over input events and output spikes in reverse time."""
    slots = torch.isfinite(errors.times).sum(2) - 1  # next spike to pass, from the last
    adjoint = Adjoint(errors.silent.to(errors.times.dtype), c, rates=rates)
    carriers = carrier.detach().T.contiguous()
    on_rows, on_delay = torch.zeros_like(events.rows), torch.zeros_like(events.rows)
    on_arrival = events.rows.new_zeros(events.order.shape[:2])
    on_threshold, on_leak, on_decay = (adjoint.v.new_zeros(()) for _ in range(3))
    if errors.on_threshold is not None:
        on_threshold = errors.on_threshold.sum()
    at = errors.times.masked_fill(torch.isinf(errors.times), 0.0).amax(2)
    for e in reversed(range(events.count)):
        now = events.arrival[:, e].expand_as(at)
        while True:
            slot = slots.clamp(min=0).unsqueeze(2)
            spike = errors.times.gather(2, slot).squeeze(2)
            passing = (slots >= 0) & (spike > now)
            if not passing.any():
                break
            adjoint.back((at - spike).masked_fill(~passing, 0.0))
            at = spike.where(passing, at)
            on_threshold = on_threshold + adjoint.v[passing].sum()
            if rates:
                on_leak = on_leak + c.threshold * adjoint.v_leak[passing].sum()
            before = adjoint.v
            error, slope = (x.gather(2, slot).squeeze(2) for x in (errors.error, errors.slope))
            adjoint.spike(error, slope, passing)
            on_threshold = on_threshold + (adjoint.v - before)[~errors.silent].sum()
            slots = slots - passing.long()
        moved = now < at
        adjoint.back((at - now).masked_fill(~moved, 0.0))
        at = now.where(moved, at)
        arrived, source = events.arrived[:, e], events.source(e)
        l_i = adjoint.i * arrived
        on_rows.scatter_add_(0, source, -l_i)
        lag = carriers.gather(0, source) * (adjoint.v * arrived - c.decay * l_i)
        on_arrival.scatter_add_(1, events.order[:, e].expand_as(lag), lag)
        if delays:
            on_delay.scatter_add_(0, source, lag)
        if rates:
            w = events.rows.gather(0, source) * arrived
            on_leak = on_leak - (w * adjoint.i_leak).sum()
            on_decay = on_decay - (w * adjoint.i_decay).sum()
    return Gradients(
        on_arrival.view(events.shape),
        on_rows.T.contiguous(),
        on_delay.T.contiguous() if delays else None,
        on_threshold,
        on_leak if rates else None,
        on_decay if rates else None,
    )


def push_silent(gradient: Tensor, silent: Tensor, push: float) -> Tensor:
    """Lower the gradient of all weights of a neuron by ``push`` times its silent share."""
    return gradient - push * silent.to(gradient.dtype).mean(0).unsqueeze(1)
