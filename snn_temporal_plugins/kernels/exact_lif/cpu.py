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
def advance(v, i, limit, v_next, i_next, leak, d, em, es, k, start):
    """Move ``LANES`` neurons from ``start`` on by ``d``; tell whether one might reach its limit.

    A potential that rises is concave up to its peak: it stays below its tangent, and it can pass
    the limit between the ends only if it falls at the end.
    """
    hits = np.uint32(0)
    for j in range(start, start + LANES):
        level = v[j] * em + i[j] * k
        late = i[j] * es
        bound = v[j] + (i[j] - leak * v[j]) * d
        hits |= np.uint32((bound >= limit[j]) & ((level >= limit[j]) | (late <= leak * level)))
        v_next[j] = level
        i_next[j] = late
    return hits


@jit
def fire(j, v, i, now, d, c, left, fired, spikes, out, slope, count, end):
    """All spikes of neuron ``j`` in an interval of length ``d`` behind ``now``.

    Returns its state at the end, how many spikes it may still have, and the filled length of
    ``fired``.
    """
    threshold, leak, decay, closed = c
    slots = out.shape[1]
    t, rest = now, d
    while left > 0:
        if closed:
            delay, y = closed_crossing(v, i, rest, threshold, leak)
        else:
            delay = newton_crossing(v, i, rest, threshold, leak, decay)
        at = min(t + delay, now + d)
        if delay == np.inf or at >= end:
            break
        i *= y * y if closed else math.exp(-decay * delay)
        v, t, rest = 0.0, at, max(rest - delay, 0.0)
        left -= 1
        number = count[j]
        count[j] += 1
        if number < slots:
            out[j, number] = at
            slope[j, number] = i - threshold * leak
            fired[spikes] = j * slots + number
            spikes += 1
    k, em, es = psp(rest, leak, decay)
    return v * em + i * k, i * es, left, spikes


@jit
def sample(times, events, copies, rows, c, limit, end, state, out, slope, count, fired):
    """Spikes of all neurons of one sample; returns their number, without those not kept."""
    threshold, leak, decay, _ = c
    v, i, v_next, i_next, bar = state
    kind = v.dtype.type
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
        numbers = kind(leak), kind(d), kind(em), kind(es), kind(k)
        for start in range(0, v.size, LANES):
            if not advance(v, i, bar, v_next, i_next, *numbers, start):
                continue
            for j in range(start, min(start + LANES, out.shape[0])):
                if bar[j] == np.inf or not i[j] > leak * v[j]:
                    continue
                left = limit - count[j]
                vj, ij, left, spikes = fire(
                    j,
                    np.float64(v[j]),
                    np.float64(i[j]),
                    now,
                    d,
                    c,
                    left,
                    fired,
                    spikes,
                    out,
                    slope,
                    count,
                    end[0],
                )
                v_next[j], i_next[j] = vj, ij
                if left == 0:
                    bar[j] = np.inf
                    alive -= 1
        v, v_next = v_next, v
        i, i_next = i_next, i
    return spikes


@jit
def free_peaks(times, events, copies, rows, c, end, state, count, peak, peak_time):
    """Largest potentials of the neurons of one sample that stayed silent, and when."""
    threshold, leak, decay, _ = c
    v, i, v_next, i_next, bar = state
    kind = v.dtype.type
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
        numbers = kind(leak), kind(d), kind(em), kind(es), kind(k)
        for start in range(0, v.size, LANES):
            if not advance(v, i, bar, v_next, i_next, *numbers, start):
                continue
            for j in range(start, min(start + LANES, count.size)):
                if bar[j] == np.inf:
                    continue
                vj, ij = np.float64(v[j]), np.float64(i[j])
                top = min(peak_delay(vj, ij, leak, decay), d)
                if top == 0.0:
                    continue
                k_top, em_top, _ = psp(top, leak, decay)
                level = vj * em_top + ij * k_top
                if level > bar[j]:
                    bar[j] = peak[j] = level
                    peak_time[j] = now + top
        v, v_next = v_next, v
        i, i_next = i_next, i


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
        aligned(size, rows),
        aligned(size, rows),
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
