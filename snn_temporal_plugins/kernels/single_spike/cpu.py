"""Event-driven loops of the single-spike integrate-and-fire layer, compiled by numba.

Every function works on plain arrays and on one block (of samples or of output neurons), so that
blocks can run on several threads and every sum keeps its order whatever their number.
"""

from __future__ import annotations

import numpy as np

from ..common.cpu import aligned, jit, sort_buffers, sort_events

LANES = 16  # rows are padded to whole vectors; ``size // LANES * LANES`` tells the compiler so


@jit
def add(v, crossing, row):
    """Let one input act on the neurons that have not fired."""
    for j in range(v.size // LANES * LANES):
        v[j] += row[j] if crossing[j] == np.inf else v.dtype.type(0)


@jit
def add_and_fire(v, crossing, row, other, first, second, now, then):
    """Let two inputs act, one after the other, at times ``now`` and ``then``.

    Who exceeds the threshold (``first``, ``second``) fires and keeps its potential. Two at once,
    and a threshold of ``inf`` instead of a branch where more inputs of the same time follow:
    both spare a fifth of the time.
    """
    for j in range(v.size // LANES * LANES):
        silent = crossing[j] == np.inf
        early = v[j] + row[j]
        late = early + other[j]
        fires = silent & (early > first)
        v[j] = (early if fires else late) if silent else v[j]
        crossing[j] = now if fires else then if silent & (late > second) else crossing[j]


@jit
def fire_on_ramp(v, crossing, bias, threshold, now, then):
    """Fire who exceeds the threshold at a step from ``now`` up to ``then``, exclusive.

    The potential of step t is ``v + bias * (t + 1)``. The first loop only asks whether any
    neuron might; it looks one step too far, which costs nothing but time.
    """
    one = v.dtype.type(1)
    candidates = np.uint32(0)
    for j in range(v.size // LANES * LANES):
        level = max(v[j] + bias[j] * (now + one), v[j] + bias[j] * (then + one))
        candidates |= np.uint32((crossing[j] == np.inf) & (level > threshold))
    if not candidates:
        return
    for j in range(v.size):
        if crossing[j] < np.inf:
            continue
        at = now
        if not v[j] + bias[j] * (now + one) > threshold:
            if not bias[j] > 0:
                continue
            at = max(np.floor((threshold - v[j]) / bias[j]), now + one)
            if not v[j] + bias[j] * (at + one) > threshold:  # floor may round down
                at += one
        if at < then and v[j] + bias[j] * (at + one) > threshold:
            crossing[j] = at


@jit
def first_silent(crossing, start, outputs):
    """First neuron from ``start`` on that has not fired; ``outputs`` if there is none."""
    while start < outputs and crossing[start] < np.inf:
        start += 1
    return start


@jit
def integrate(events, times, rows, threshold, v, crossing, outputs):
    """Let the events of one sample act on the state ``v`` and ``crossing`` of its neurons.

    A neuron that has fired keeps the potential of its spike. The last of ``rows`` is zero.
    """
    never = v.dtype.type(np.inf)
    silent = 0
    for r in range(0, events.size, 2):
        now = times[events[r]]
        then = times[events[r + 1]] if r + 1 < events.size else never
        after = times[events[r + 2]] if r + 2 < events.size else never
        add_and_fire(
            v,
            crossing,
            rows[events[r]],
            rows[events[r + 1] if r + 1 < events.size else -1],
            threshold if now < then else never,
            threshold if then < after else never,
            now,
            then,
        )
        silent = first_silent(crossing, silent, outputs)
        if silent == outputs:
            break


@jit
def integrate_on_ramp(events, times, rows, bias, threshold, limit, v, crossing, outputs):
    """Like :func:`integrate` with a bias, whose ramp is not in ``v``."""
    silent = 0
    start = times[events[0]] if events.size else limit
    if start > 0:
        fire_on_ramp(v, crossing, bias, threshold, v.dtype.type(0), start)
    for r in range(events.size):
        now, then = times[events[r]], times[events[r + 1]] if r + 1 < events.size else limit
        add(v, crossing, rows[events[r]])
        if now < then:
            fire_on_ramp(v, crossing, bias, threshold, now, then)
            silent = first_silent(crossing, silent, outputs)
            if silent == outputs:
                break


@jit
def forward(times, bits, rows, bias, threshold, delay, limit, out, potential, until, first, last):
    """Spike times, potentials and latest causal times ``[B, O]`` of the samples of a block.

    ``rows [I + 1, O']`` holds the weights of each input, padded with zeros; ``bias [O']`` may be
    empty.
    """
    outputs = out.shape[1]
    buffers = sort_buffers(times.shape[1], bits)
    v, crossing = aligned(rows.shape[1], rows), aligned(rows.shape[1], rows)
    one, latest = times.dtype.type(1), np.finfo(times.dtype).max
    for b in range(first, last):
        events = sort_events(times[b], bits[b], limit, buffers)
        v[:] = 0
        crossing[:] = np.inf
        if bias.size:
            integrate_on_ramp(events, times[b], rows, bias, threshold, limit, v, crossing, outputs)
        else:
            integrate(events, times[b], rows, threshold, v, crossing, outputs)
        for j in range(outputs):
            at = crossing[j]
            out[b, j] = at + delay if at + delay < limit else np.inf
            until[b, j] = min(at, min(limit - one, latest))
            potential[b, j] = v[j]
            if bias.size:
                potential[b, j] += bias[j] * (at + one if at < np.inf else limit)


@jit
def add_freely(v, row):
    """Let one input act on every neuron, fired or not."""
    for j in range(v.size // LANES * LANES):
        v[j] += row[j]


@jit
def add_and_track(v, row, threshold, now, inside, crossing, potential, peak, peak_time):
    """The last input of one time: note first crossings, and peaks while ``inside`` the window."""
    for j in range(v.size // LANES * LANES):
        level = v[j] + row[j]
        v[j] = level
        fires = (level > threshold) & (crossing[j] == np.inf)
        crossing[j] = now if fires else crossing[j]
        potential[j] = level if fires else potential[j]
        higher = inside & (level > peak[j])
        peak[j] = level if higher else peak[j]
        peak_time[j] = now if higher else peak_time[j]


@jit
def forward_with_peaks(
    times, bits, rows, threshold, delay, limit, out, potential, until, peak, peak_time, first, last
):
    """Like :func:`forward`, with the largest potential of each neuron and its time ``[B, O]``."""
    outputs = out.shape[1]
    buffers = sort_buffers(times.shape[1], bits)
    size = rows.shape[1]
    v, crossing, level = aligned(size, rows), aligned(size, rows), aligned(size, rows)
    top, top_time = aligned(size, rows), aligned(size, rows)
    one, latest = times.dtype.type(1), np.finfo(times.dtype).max
    for b in range(first, last):
        events = sort_events(times[b], bits[b], limit, buffers)
        v[:] = 0
        crossing[:] = np.inf
        top[:] = -np.inf
        top_time[:] = -1
        for r in range(events.size):
            now, row = times[b, events[r]], rows[events[r]]
            if r + 1 < events.size and times[b, events[r + 1]] == now:
                add_freely(v, row)
            else:
                inside = now < limit - delay
                add_and_track(v, row, threshold, now, inside, crossing, level, top, top_time)
        for j in range(outputs):
            at = crossing[j]
            out[b, j] = at + delay if at + delay < limit else np.inf
            until[b, j] = min(at, min(limit - one, latest))
            potential[b, j] = level[j] if at < np.inf else v[j]
            peak[b, j], peak_time[b, j] = top[j], top_time[j]


@jit
def carry(error, times, until, silent, delta, weight, beta):
    """Pass the error of one neuron to its causal inputs, and to those from ``silent`` on."""
    for i in range(times.size):
        reached = (times[i] <= until) | (times[i] >= silent)
        error[i] -= delta * (weight[i] - beta * delta) if reached else error.dtype.type(0)


@jit
def input_errors(times, until, silent, delta, weight, beta, error, first, last):
    """Gradient ``[B, I]`` of the input times, for the samples of a block."""
    for b in range(first, last):
        error[b] = 0
        for j in range(delta.shape[1]):
            if delta[b, j] != 0:
                carry(error[b], times[b], until[b, j], silent, delta[b, j], weight[j], beta)


@jit
def share(gradient, times, until, delta):
    """Give the error of one neuron to the weights of its causal inputs."""
    for i in range(times.size):
        gradient[i] += delta if times[i] <= until else gradient.dtype.type(0)


@jit
def weight_errors(times, until, delta, gradient, first, last):
    """Gradient ``[O, I]`` of the weights of the neurons of a block, summed over samples in order.

    Scanning all inputs with vectors is quicker than visiting the events of each neuron, for
    which they would have to be sorted once more, unless fewer than one input in twenty is lit.
    """
    for start in range(first, last, 8):  # so many rows stay in the cache
        neurons = range(start, min(start + 8, last))
        for j in neurons:
            gradient[j] = 0
        for b in range(len(times)):
            for j in neurons:
                if delta[b, j] != 0:
                    share(gradient[j], times[b], until[b, j], delta[b, j])
