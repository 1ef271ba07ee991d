"""A whole stack of single-spike layers, sample by sample, until the first output spike."""

from __future__ import annotations

import numpy as np

from ..common.cpu import aligned, inlined, jit
from ..common.events import sort_buffers, sort_events
from ..integrate.cpu import integrate, rest, schedule

CHUNK = 64  # input events between two looks at the outputs


@jit
def decide(
    times,
    bits,
    rows,
    sizes,
    thresholds,
    delays,
    limits,
    label,
    when,
    spikes,
    additions,
    wrong,
    first,
    last,
):
    """Decisions of the samples of a block, and what they cost.

    ``rows`` holds the padded weight rows of all layers, one after the other; ``sizes [4, L + 1]``
    the numbers of inputs and neurons, the padded ones, and where each layer starts among all padded
    neurons and among the weights. ``label`` and ``when [B]`` receive class and time, ``spikes
    [B, L]`` how many spikes acted on each layer up to the crossing that decides, ``additions [B]``
    the weights they added. ``wrong [1]`` is set if a time is negative or NaN.
    """
    layers, most = thresholds.size, sizes[0].max()
    starts, matrices = sizes[2], sizes[3]
    buffers = sort_buffers(most, bits)
    later = buffers[0], np.empty_like(buffers[1]), buffers[2]  # the input events stay in order
    arrivals = np.empty(most, times.dtype)
    arrival_bits = arrivals.view(bits.dtype)
    states = aligned(2 * starts[layers], rows)
    now, bounds = np.empty(most + 1, times.dtype), np.empty(most, times.dtype)
    for b in range(first, last):
        if not_times(times[b]):
            wrong[0] = True
        events = sort_events(times[b], bits[b], limits[0], buffers)
        for k in range(layers):
            rest(state_of(states, starts, k), sizes[0, k + 1], False)
        done, horizon = 0, times.dtype.type(-1)
        winner = -1
        while winner < 0 and horizon < np.inf:
            before = horizon
            end = min(done + CHUNK, events.size)
            while end < events.size and times[b, events[end]] == times[b, events[end - 1]]:
                end += 1
            horizon = times[b, events[end - 1]] if end < events.size else times.dtype.type(np.inf)
            chunk, stamps = events[done:end], times[b]
            done = end
            for k in range(layers):
                if k:
                    n = sizes[0, k]
                    previous = state_of(states, starts, k - 1)[1, :n]
                    arrive(previous, delays[k - 1], before, horizon, limits[k - 1], arrivals)
                    chunk = sort_events(arrivals[:n], arrival_bits[:n], limits[k], later)
                    stamps = arrivals
                matrix = rows[matrices[k] : matrices[k + 1]].reshape(-1, sizes[1, k + 1])
                schedule(chunk, stamps, thresholds[k], limits[k], now, bounds)
                integrate(chunk, now, bounds, matrix, state_of(states, starts, k))
            v, crossing = state_of(states, starts, layers - 1)[:, : sizes[0, layers]]
            winner = first_output(crossing, v, delays[-1], limits[-1])
        at = times.dtype.type(np.inf)
        if winner >= 0:
            at = crossing[winner]
        label[b] = winner if winner >= 0 else v.argmax()
        when[b] = at + delays[-1]
        additions[b] = 0
        for k in range(layers):
            if k == 0:
                count = 0
                while count < events.size and times[b, events[count]] <= at:
                    count += 1
            else:
                count = 0
                latest = min(limits[k - 1], limits[k])
                for fired in state_of(states, starts, k - 1)[1, : sizes[0, k]]:
                    spike = fired + delays[k - 1]
                    count += (spike <= at) & (spike < latest)
            spikes[b, k] = count
            additions[b] += count * sizes[0, k + 1]


@inlined
def state_of(states, starts, k):
    """Potential and crossing ``[2, O']`` of the neurons of layer ``k``."""
    return states[2 * starts[k] : 2 * starts[k + 1]].reshape(2, -1)


@inlined
def not_times(values):
    """Whether a value is negative or NaN."""
    found = np.uint32(0)
    for value in values:
        found |= np.uint32(not value >= 0)
    return found > 0


@jit
def arrive(crossing, delay, before, horizon, limit, arrivals):
    """Spike times after ``before`` up to ``horizon``; all others never arrive."""
    for j in range(crossing.size):
        t = crossing[j] + delay
        arrivals[j] = t if (t > before) & (t <= horizon) & (t < limit) else np.inf


@jit
def first_output(crossing, v, delay, limit):
    """Neuron that fires first, among several the one with the larger potential; -1 if none."""
    winner = -1
    for j in range(crossing.size):
        if not crossing[j] + delay < limit:
            continue
        earlier = winner < 0 or crossing[j] < crossing[winner]
        if earlier or (crossing[j] == crossing[winner] and v[j] > v[winner]):
            winner = j
    return winner
