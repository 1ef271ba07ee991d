"""Spikes of a layer of exact LIF neurons in plain torch: from event to event."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .. import _checks
from .exact_lif_dynamics import Constants, crossing, potential


class TruncatedSpikesWarning(UserWarning):
    """Neurons had more spikes than ``max_spikes``; the further ones were dropped."""


class Rule(NamedTuple):
    """Constants of the layer and of what it does beside the exact derivative."""

    max_spikes: int
    t_max: float  #: end of the window, ``inf`` for none
    count_on: bool  #: look for spikes beyond ``max_spikes`` and report them
    slope_min: float  #: smallest slope that a derivative is divided by, in threshold / tau_syn
    silent: str  #: "phantom", "constant" or "none"
    push: float  #: gradient of the remedy that no loss asked for


class Found(NamedTuple):
    """What a forward pass finds out; spikes are ``[B, O, K]``, the rest ``[B, O]``."""

    times: Tensor  #: spike times, ``inf`` after the last one
    slope: Tensor  #: slope of the potential there, 1 after the last one
    peak: Tensor  #: largest potential of a silent neuron, the threshold where it fired
    peak_time: Tensor  #: its time
    truncated: Tensor  #: whether further spikes were dropped


def check_delay(delay: Tensor, weight: Tensor) -> None:
    """Raise unless delays belong to the weights and are possible."""
    if delay.shape != weight.shape:
        raise ValueError(
            f"ExactLIF: the synapse's delay must have the shape {list(weight.shape)} of its "
            f"weight, got {list(delay.shape)}."
        )
    if _checks.validating() and not bool((delay.detach() >= 0).all()):
        raise ValueError(
            f"ExactLIF: delays must be at least 0, got {delay.detach().min().item():g}; "
            "clamp learned ones after each step."
        )


class Events:
    """Input spikes in time order, once for all neurons or, with delays, for each of them."""

    def __init__(self, times: Tensor, weight: Tensor, delay: Tensor | None, t_max: float) -> None:
        self.shape = times.shape
        self.copies = times.shape[2] if times.dim() == 3 else 1  # spikes per input
        arrival = times.detach().flatten(1).unsqueeze(2)  # [B, E, 1 or O]
        if delay is not None:
            arrival = arrival + delay.detach().T.repeat_interleave(self.copies, 0)
        arrival = arrival.masked_fill(arrival >= t_max, float("inf"))
        arrival, self.order = arrival.sort(dim=1, stable=True)
        self.count = int(torch.isfinite(arrival).any(2).any(0).sum())
        self.arrival = arrival[:, : self.count]
        self.arrived = torch.isfinite(self.arrival)
        self.last = self.arrival.masked_fill(~self.arrived, 0.0).amax(1) if self.count else None
        self.rows = weight.detach().T.contiguous()  # [I, O]

    def source(self, e: int) -> Tensor:
        """Input ``[B, O]`` of event ``e`` at each neuron."""
        source = self.order[:, e].div(self.copies, rounding_mode="floor")
        return source.expand(-1, self.rows.shape[1])

    def interval(self, e: int, end: Tensor) -> tuple[Tensor, Tensor]:
        """Start and end ``[B, 1 or O]`` of the interval behind event ``e``; empty at its end."""
        now = self.arrival[:, e].minimum(end)
        return now, self.arrival[:, e + 1].minimum(end) if e + 1 < self.count else end

    def end(self, c: Constants, t_max: float) -> Tensor:
        """When the last interval ends, ``[B, 1 or O]``: finite also without a window."""
        assert self.last is not None
        return (self.last + c.far).clamp(max=t_max)


def find_spikes(events: Events, c: Constants, rule: Rule) -> Found:
    """Carry ``(v, i)`` of every neuron from event to event."""
    shape = events.order.shape[0], events.rows.shape[1]
    out = events.rows.new_full((*shape, rule.max_spikes), float("inf"))
    slope = torch.ones_like(out)
    v, i, peak = (events.rows.new_zeros(shape) for _ in range(3))
    peak_time = torch.zeros_like(v)
    count = torch.zeros(shape, dtype=torch.long, device=v.device)
    limit = rule.max_spikes + rule.count_on
    if not events.count:
        return Found(out, slope, peak, peak_time, count > rule.max_spikes)
    end = events.end(c, rule.t_max)
    last = v, i
    for e in range(events.count):
        now, then = (t.expand(shape) for t in events.interval(e, end))
        arrived = events.arrived[:, e].expand(shape)
        i = i + events.rows.gather(0, events.source(e)) * arrived
        last = v.where(arrived, last[0]), i.where(arrived, last[1])
        left = then - now
        while True:
            delay, top, level = crossing(v, i, left, c)
            higher = (level > peak) & (count == 0)
            peak, peak_time = level.where(higher, peak), (now + top).where(higher, peak_time)
            at = torch.minimum(now + delay, then)
            fired = torch.isfinite(delay) & (at < rule.t_max) & (count < limit)
            if not fired.any():
                break
            delay = delay.where(fired, torch.zeros_like(delay))
            i = i * torch.exp(-c.decay * delay)
            kept = (fired & (count < rule.max_spikes)).nonzero(as_tuple=True)
            slot = (*kept, count[kept])
            out[slot] = at[kept]
            slope[slot] = i[kept] - c.threshold * c.leak
            count += fired
            v, now, left = v.masked_fill(fired, 0.0), at.where(fired, now), left - delay
        v, i = potential(v, i, left, c), i * torch.exp(-c.decay * left)
    peak, peak_time = _peak_below_rest(events, last, peak, peak_time, end, c)
    peak = peak.masked_fill(count > 0, c.threshold)
    return Found(out, slope, peak, peak_time, count > rule.max_spikes)


def _peak_below_rest(
    events: Events,
    last: tuple[Tensor, Tensor],
    peak: Tensor,
    peak_time: Tensor,
    end: Tensor,
    c: Constants,
) -> tuple[Tensor, Tensor]:
    """Give neurons that were only inhibited the moment when a last input would have peaked."""
    assert events.last is not None
    wait = (events.last + c.psp_peak).minimum(end) - events.last
    flat = (peak <= 0) & events.arrived.any(1)
    level = potential(*last, wait.expand_as(peak), c)
    at = (events.last + wait).expand_as(peak)
    return level.where(flat, peak), at.where(flat, peak_time)
