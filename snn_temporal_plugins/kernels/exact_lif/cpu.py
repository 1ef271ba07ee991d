"""Event-driven forward loops of a layer of exact LIF neurons, compiled by numba.

The state ``(v, i)`` of all neurons of a sample goes from one group of simultaneous inputs to the
next in one pass of vectors, which also asks who might reach the threshold on the way; only those
are looked at more closely. Scalars are float64 whatever the type of the arrays.
"""

from __future__ import annotations

import numpy as np

from ..common.cpu import aligned, jit
from ..common.events import sort_buffers, sort_events
from ..exact_lif_crossing.cpu import cross_closed, cross_newton, peak_delay, psp

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
def flagged(flags, hit):
    """List the flagged neurons; returns how many there are."""
    words, n = flags.view(np.uint64), 0
    for word in range(words.size):
        if words[word]:
            for j in range(8 * word, 8 * word + 8):
                hit[n] = j
                n += flags[j]
    return n


@jit
def note(size, spikes, loss, out, slope, count, fired):
    """Sort the spikes of a sample by neurons; returns how many are kept."""
    who, when, left = spikes
    slots, kept = out.shape[1], 0
    out[:] = np.inf
    slope[:] = 0
    count[:] = 0
    for s in range(size):
        j = who[s]
        number = count[j]
        count[j] = number + 1
        if number < slots:
            out[j, number], slope[j, number] = when[s], left[s] - loss
            fired[kept] = j * slots + number
            kept += 1
    return kept


@jit
def sample(times, events, copies, rows, c, limit, end, state, hits, spikes, count):
    """Spikes of all neurons of one sample; returns their number."""
    threshold, leak, decay, closed = c
    v, i, bar, flags = state
    kind = v.dtype.type
    v[:] = 0
    i[:] = 0
    bar[:] = threshold
    bar[count.size :] = np.inf
    count[:] = 0
    size, r = 0, 0
    while r < events.size and size < limit * count.size:
        now = np.float64(times[events[r]])
        add(i, rows[events[r] // copies])
        r += 1
        if r < events.size and times[events[r]] == now:
            continue  # inputs of one time act together
        then = min(np.float64(times[events[r]]) if r < events.size else now + end[1], end[0])
        d = then - now
        k, em, es = psp(d, leak, decay)
        mark(v, i, bar, flags, kind(leak), kind(d), kind(em), kind(es), kind(k))
        n = flagged(flags, hits[0])
        for h in range(n):
            hits[1][h], hits[2][h] = v[hits[0][h]], i[hits[0][h]]
        advance(v, i, kind(em), kind(es), kind(k))
        more = (c, limit, end[0], v, i, bar, count)
        if closed:
            size = cross_closed(n, hits, spikes, size, now, then, em, *more)
        else:
            size = cross_newton(n, hits, spikes, size, now, then, *more)
    return size


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
    room = out.shape[1] * limit
    found = (np.empty(room, np.uint32), np.empty(room, np.float64), np.empty(room, np.float64))
    hits = (
        np.empty(size + 1, np.uint32),
        np.empty(size, np.float64),
        np.empty(size, np.float64),
        np.empty(size, np.float64),
        np.empty(size, np.float64),
    )
    state = (
        aligned(size, rows),
        aligned(size, rows),
        aligned(size, rows),
        np.empty(size, np.uint8),
    )
    threshold, leak, decay, _ = constants
    far = FAR / (min(leak, decay) if leak > 0.0 else decay)
    end = t_max, far
    for b in range(first, last):
        order = sort_events(times[b], bits[b], times.dtype.type(t_max), buffers)
        arrived[b] = order.size
        events[b, : order.size] = order
        size = sample(
            times[b],
            order,
            copies,
            rows,
            constants,
            limit,
            end,
            state,
            hits,
            found,
            count[b],
        )
        spikes[b] = note(size, found, threshold * leak, out[b], slope[b], count[b], fired[b])
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
