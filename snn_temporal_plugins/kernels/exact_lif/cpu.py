"""Event-driven forward loops of a layer of exact LIF neurons, compiled by numba.

The state ``(v, i)`` of all neurons of a sample goes from one group of simultaneous inputs to the
next in one pass of vectors, which also asks who might reach the threshold on the way; only those
are looked at one by one. Scalars are float64 whatever the type of the arrays.
"""

from __future__ import annotations

import math

import numpy as np

from ..common.cpu import aligned, jit, sort_buffers, sort_events
from ..exact_lif_crossing.cpu import closed_crossing, newton_crossing, peak_delay, psp

LANES = 16  # rows are padded to whole vectors; ``size // LANES * LANES`` tells the compiler so
FAR = 800.0  # time constants after which every exponential is 0


@jit
def add(i, row):
    """Let one input act: a jump of the currents."""
    for j in range(i.size // LANES * LANES):
        i[j] += row[j]


@jit
def mark(v, i, limit, flags, leak, d, em, es, k):
    """Flag the neurons that might reach their limit within ``d``.

    A potential that rises is concave up to its peak: it stays below its tangent, and it can pass
    the limit between the ends only if it falls at the end. (More than one array to write, and the
    compiler gives up on vectors: hence the second pass, :func:`advance`.)
    """
    for j in range(v.size // LANES * LANES):
        level = v[j] * em + i[j] * k
        bound = v[j] + (i[j] - leak * v[j]) * d
        falls = i[j] * es <= leak * level
        flags[j] = (bound >= limit[j]) & ((level >= limit[j]) | falls)


@jit
def advance(v, i, em, es, k):
    """Move all neurons on in time."""
    for j in range(v.size // LANES * LANES):
        v[j] = v[j] * em + i[j] * k
        i[j] *= es


@jit
def crossing(v, i, within, c):
    """Delay of the next spike, ``inf`` if there is none, and what is left of the current."""
    threshold, leak, decay, closed = c
    if closed:
        delay, y = closed_crossing(v, i, within, threshold, leak)
        return delay, y * y
    delay = newton_crossing(v, i, within, threshold, leak, decay)
    return delay, math.exp(-decay * delay)


@jit
def sample(times, events, copies, rows, c, limit, end, state, out, slope, count, fired):
    """Spikes of all neurons of one sample; returns their number, without those not kept."""
    threshold, leak, decay, _ = c
    v, i, bar, flags, hit, hit_v, hit_i = state
    kind, slots, words = v.dtype.type, out.shape[1], flags.view(np.uint64)
    v[:] = 0
    i[:] = 0
    bar[:] = threshold
    bar[out.shape[0] :] = np.inf
    spikes, alive, r = 0, out.shape[0], 0
    while r < events.size and alive:
        now = np.float64(times[events[r]])
        add(i, rows[events[r] // copies])
        r += 1
        if r < events.size and times[events[r]] == now:
            continue  # inputs of one time act together
        then = min(np.float64(times[events[r]]) if r < events.size else now + end[1], end[0])
        d = then - now
        k, em, es = psp(d, leak, decay)
        mark(v, i, bar, flags, kind(leak), kind(d), kind(em), kind(es), kind(k))
        hits = 0
        for word in range(words.size):
            if words[word] == 0:
                continue
            for j in range(8 * word, 8 * word + 8):
                if not flags[j]:
                    continue
                vj, ij, t, rest = np.float64(v[j]), np.float64(i[j]), now, d
                number = before = count[j]
                while number < limit:
                    delay, left = crossing(vj, ij, rest, c)
                    at = min(t + delay, then)
                    if delay == np.inf or at >= end[0]:
                        break
                    vj, ij, t, rest = 0.0, ij * left, at, max(rest - delay, 0.0)
                    if number < slots:
                        out[j, number] = at
                        slope[j, number] = ij - threshold * leak
                        fired[spikes] = j * slots + number
                        spikes += 1
                    number += 1
                if number == before:
                    continue
                count[j] = number
                k_rest, em_rest, es_rest = psp(rest, leak, decay)
                hit[hits], hit_v[hits], hit_i[hits] = j, vj * em_rest + ij * k_rest, ij * es_rest
                hits += 1
                if number == limit:
                    bar[j] = np.inf
                    alive -= 1
        advance(v, i, kind(em), kind(es), kind(k))
        for h in range(hits):
            v[hit[h]], i[hit[h]] = hit_v[h], hit_i[h]
    return spikes


@jit
def free_peaks(times, events, copies, rows, c, end, state, count, peak, peak_time):
    """Largest potentials of the neurons of one sample that stayed silent, and when."""
    threshold, leak, decay, _ = c
    v, i, bar, flags = state[:4]
    kind, words = v.dtype.type, flags.view(np.uint64)
    v[:] = 0
    i[:] = 0
    bar[:] = np.inf
    for j in range(count.size):
        bar[j] = 0.0 if count[j] == 0 else np.inf  # to be exceeded
        peak[j] = threshold if count[j] else 0.0
        peak_time[j] = 0.0
    r = 0
    while r < events.size:
        now = np.float64(times[events[r]])
        add(i, rows[events[r] // copies])
        r += 1
        if r < events.size and times[events[r]] == now:
            continue
        if r == events.size:
            below_rest(v, i, now, c, end, count, peak, peak_time, bar)
        then = min(np.float64(times[events[r]]) if r < events.size else now + end[1], end[0])
        d = then - now
        k, em, es = psp(d, leak, decay)
        mark(v, i, bar, flags, kind(leak), kind(d), kind(em), kind(es), kind(k))
        for word in range(words.size):
            if words[word] == 0:
                continue
            for j in range(8 * word, 8 * word + 8):
                if not flags[j]:
                    continue
                vj, ij = np.float64(v[j]), np.float64(i[j])
                top = min(peak_delay(vj, ij, leak, decay), d)
                k_top, em_top, _ = psp(top, leak, decay)
                level = vj * em_top + ij * k_top
                if top > 0.0 and level > bar[j]:
                    bar[j] = peak[j] = level
                    peak_time[j] = now + top
        advance(v, i, kind(em), kind(es), kind(k))


@jit
def below_rest(v, i, now, c, end, count, peak, peak_time, bar):
    """Neurons that never rose above rest take the moment when a last input would have peaked.

    Called at the last input, before the interval behind it: that may still lift them.
    """
    _, leak, decay, _ = c
    d = min(peak_delay(0.0, 1.0, leak, decay), end[1], end[0] - now)
    k, em, _ = psp(d, leak, decay)
    for j in range(count.size):
        if count[j] == 0 and bar[j] == 0.0:
            peak[j], peak_time[j] = v[j] * em + i[j] * k, now + d


@jit
def forward(
    times,
    bits,
    copies,
    rows,
    constants,
    limit,
    t_max,
    peaks,
    out,
    slope,
    peak,
    peak_time,
    count,
    events,
    arrived,
    fired,
    spikes,
    first,
    last,
):
    """Spikes of a block of samples.

    ``times [B, E]`` with ``copies`` spikes per input, ``rows [I + 1, O']``; ``out`` and ``slope``
    ``[B, O, K]``, ``peak``, ``peak_time``, ``count`` ``[B, O]``; ``events [B, E]`` and ``fired
    [B, O K]`` list inputs and spikes in time order, ``arrived`` and ``spikes [B]`` their lengths.
    A neuron is followed for ``limit`` spikes.
    """
    buffers = sort_buffers(times.shape[1], bits)
    size = rows.shape[1]
    state = (
        aligned(size, rows),
        aligned(size, rows),
        aligned(size, rows),
        np.empty(size, np.uint8),
        np.empty(size, np.uint32),
        np.empty(size, np.float64),
        np.empty(size, np.float64),
    )
    _, leak, decay, _ = constants
    far = FAR / (min(leak, decay) if leak > 0.0 else decay)
    end = t_max, far
    for b in range(first, last):
        order = sort_events(times[b], bits[b], times.dtype.type(t_max), buffers)
        arrived[b] = order.size
        events[b, : order.size] = order
        out[b] = np.inf
        count[b] = 0
        spikes[b] = sample(
            times[b],
            order,
            copies,
            rows,
            constants,
            limit,
            end,
            state,
            out[b],
            slope[b],
            count[b],
            fired[b],
        )
        if peaks:
            free_peaks(
                times[b],
                order,
                copies,
                rows,
                constants,
                end,
                state,
                count[b],
                peak[b],
                peak_time[b],
            )
