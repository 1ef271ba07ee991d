"""One sample of single-spike neurons from its events to its results, compiled by numba."""

from __future__ import annotations

import numpy as np

from ..common.cpu import aligned, choose, inlined, jit, larger, smaller

LANES = 16
WIDE = 64  # neurons; for fewer, looking for events of one time costs more than it saves


@jit
def add(v, crossing, row):
    """Let one input act on the neurons that have not fired."""
    zero = v.dtype.type(0)
    for j in range(v.size // LANES * LANES):
        v[j] += choose(crossing[j] == np.inf, row[j], zero)


@jit
def add_freely(v, row):
    """Let one input act on every neuron, fired or not."""
    for j in range(v.size // LANES * LANES):
        v[j] += row[j]


@inlined
def fire_twice(v, crossing, rows, one, two, first, second, now, then):
    """Let two inputs act, one after the other, at times ``now`` and ``then``.

    Who exceeds the threshold (``first``, ``second``) fires and keeps its potential. Two at once,
    and a threshold of ``inf`` instead of a branch where more inputs of the same time follow:
    both spare a fifth of the time.
    """
    zero, never = v.dtype.type(0), v.dtype.type(np.inf)
    for j in range(v.size // LANES * LANES):
        early = v[j] + choose(crossing[j] == never, rows[one, j], zero)
        at = smaller(crossing[j], choose(early > first, now, never))
        late = early + choose(at == never, rows[two, j], zero)
        v[j] = late
        crossing[j] = smaller(at, choose(late > second, then, never))


@inlined
def fire_together(v, crossing, rows, group, threshold, now):
    """Let four inputs of one time act, in their order, before the threshold is tested."""
    zero, never = v.dtype.type(0), v.dtype.type(np.inf)
    one, two, three, four = group
    for j in range(v.size // LANES * LANES):
        silent = crossing[j] == never
        height = v[j] + choose(silent, rows[one, j], zero)
        height += choose(silent, rows[two, j], zero)
        height += choose(silent, rows[three, j], zero)
        height += choose(silent, rows[four, j], zero)
        v[j] = height
        crossing[j] = smaller(crossing[j], choose(height > threshold, now, never))


@jit
def fire_on_ramp(v, crossing, bias, threshold, now, then):
    """Fire who exceeds the threshold at a step from ``now`` up to ``then``, exclusive.

    The potential of step t is ``v + bias * (t + 1)``. The first loop only asks whether any neuron
    might; it looks one step too far, which costs nothing but time.
    """
    one = v.dtype.type(1)
    candidates = np.uint32(0)
    for j in range(v.size // LANES * LANES):
        height = max(v[j] + bias[j] * (now + one), v[j] + bias[j] * (then + one))
        candidates |= np.uint32((crossing[j] == np.inf) & (height > threshold))
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


@inlined
def time_of(events, times, r):
    """Time of event ``r``; ``inf`` behind the last."""
    return times[events[r]] if r < events.size else times.dtype.type(np.inf)


@inlined
def row_of(events, rows, r, end):
    """Row of event ``r``; from ``end`` on the last one, which is zero."""
    return np.uint32(events[r]) if r < end else np.uint32(len(rows) - 1)


@inlined
def group_end(events, times, r):
    """Behind the last event that shares the time of event ``r``; four at most."""
    end, last = r + 1, min(r + 4, events.size)
    while end < last and times[events[end]] == times[events[r]]:
        end += 1
    return end


@inlined
def group_of(events, rows, r, end):
    """Rows of the one to four events from ``r`` to ``end``, filled up with zeros."""
    first, second = row_of(events, rows, r, end), row_of(events, rows, r + 1, end)
    return first, second, row_of(events, rows, r + 2, end), row_of(events, rows, r + 3, end)


@jit
def integrate(events, times, rows, threshold, v, crossing, outputs):
    """Let the events of one sample act on the state ``v`` and ``crossing`` of its neurons.

    A neuron that has fired keeps the potential of its spike. The last of ``rows`` is zero.
    """
    never = v.dtype.type(np.inf)
    silent = r = 0
    while r < events.size and silent < outputs:
        now = times[events[r]]
        end = group_end(events, times, r) if v.size > WIDE else r + 2
        if end > r + 2:
            limit = threshold if now < time_of(events, times, end) else never
            fire_together(v, crossing, rows, group_of(events, rows, r, end), limit, now)
        else:
            end = r + 2
            one, two = row_of(events, rows, r, end), row_of(events, rows, r + 1, events.size)
            then = time_of(events, times, r + 1)
            first = threshold if now < then else never
            second = threshold if then < time_of(events, times, end) else never
            fire_twice(v, crossing, rows, one, two, first, second, now, then)
        r = end
        silent = first_silent(crossing, silent, outputs)


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


@inlined
def note(v, level, crossing, peak, peak_time, rows, group, threshold, now, end):
    """Let four inputs of one time act; note first crossings, and where ``v`` is higher than ever.

    Times only grow, so the larger one is that of the peak.
    """
    zero, never, before = v.dtype.type(0), v.dtype.type(np.inf), v.dtype.type(-1)
    lift = zero if now < end else -never
    one, two, three, four = group
    for j in range(v.size // LANES * LANES):
        silent = crossing[j] == never
        free = v[j] + rows[one, j] + rows[two, j] + rows[three, j] + rows[four, j]
        height = level[j] + choose(silent, rows[one, j], zero)
        height += choose(silent, rows[two, j], zero)
        height += choose(silent, rows[three, j], zero)
        height += choose(silent, rows[four, j], zero)
        v[j] = free
        level[j] = height
        crossing[j] = smaller(crossing[j], choose(height > threshold, now, never))
        peak_time[j] = larger(peak_time[j], choose(free + lift > peak[j], now, before))
        peak[j] = larger(peak[j], free + lift)


@jit
def track_on_ramp(v, level, crossing, peak, peak_time, bias, threshold, now, then, end):
    """First crossings and peaks of the steps from ``now`` up to ``then``, exclusive."""
    fire_on_ramp(level, crossing, bias, threshold, now, then)
    if not now < end:
        return
    one, before = v.dtype.type(1), v.dtype.type(-1)
    last = min(then, end) - one  # a ramp is highest at one of its ends
    for j in range(v.size // LANES * LANES):
        at = choose(bias[j] > 0, last, now)
        height = v[j] + bias[j] * (at + one)
        peak_time[j] = larger(peak_time[j], choose(height > peak[j], at, before))
        peak[j] = larger(peak[j], height)


@jit
def integrate_with_peaks(events, times, rows, threshold, end, state):
    """Like :func:`integrate` to the end of the window, noting the peaks of ``v`` before ``end``."""
    v, crossing, level, peak, peak_time = state[0], state[1], state[2], state[3], state[4]
    never = v.dtype.type(np.inf)
    r = 0
    while r < events.size:
        now, behind = times[events[r]], group_end(events, times, r)
        group, last = group_of(events, rows, r, behind), now < time_of(events, times, behind)
        limit, until = (threshold, end) if last else (never, now)
        note(v, level, crossing, peak, peak_time, rows, group, limit, now, until)
        r = behind


@jit
def integrate_with_peaks_on_ramp(events, times, rows, bias, threshold, limit, end, state):
    """Like :func:`integrate_with_peaks` with a bias, whose ramp is not in ``v``."""
    v, crossing, level, peak, peak_time = state[0], state[1], state[2], state[3], state[4]
    noted = v, level, crossing, peak, peak_time
    start = times[events[0]] if events.size else limit
    if start > 0:
        track_on_ramp(*noted, bias, threshold, v.dtype.type(0), start, end)
    for r in range(events.size):
        now, then = times[events[r]], times[events[r + 1]] if r + 1 < events.size else limit
        add_freely(v, rows[events[r]])
        add(level, crossing, rows[events[r]])
        if now < then:
            track_on_ramp(*noted, bias, threshold, now, then, end)


@jit
def room(rows):
    """State ``[5, O']`` of the neurons that share ``rows``.

    In its rows: potential as if nobody fired, crossing, potential, peak of the first and its time.
    """
    return aligned(5 * rows.shape[1], rows).reshape(5, rows.shape[1])


@jit
def solve(
    events, times, rows, bias, threshold, delay, limit, with_peaks, state, out, potential, until
):  # fmt: skip
    """Integrate from rest to the end of the window.

    Writes spike times, potentials and latest causal times ``[O]``; peaks stay in the state.
    """
    state[0] = 0
    state[1] = np.inf
    if with_peaks:
        state[2] = 0
        state[3] = -np.inf
        state[4] = -1
        end = limit - delay
        if bias.size:
            integrate_with_peaks_on_ramp(events, times, rows, bias, threshold, limit, end, state)
        else:
            integrate_with_peaks(events, times, rows, threshold, end, state)
    elif bias.size:
        integrate_on_ramp(events, times, rows, bias, threshold, limit, state[0], state[1], out.size)
    else:
        integrate(events, times, rows, threshold, state[0], state[1], out.size)
    conclude(state[1], state[2 if with_peaks else 0], delay, limit, out, potential, until)
    if bias.size:
        add_ramp(state[1], bias, limit, potential)


@inlined
def conclude(crossing, level, delay, limit, out, potential, until):
    """Results from the final state, without the ramp of a bias."""
    latest = min(limit - level.dtype.type(1), np.finfo(level.dtype).max)
    for j in range(out.size):  # three loops: the compiler vectorises each
        out[j] = crossing[j] + delay if crossing[j] + delay < limit else np.inf
    for j in range(out.size):
        potential[j] = level[j]
    for j in range(out.size):
        until[j] = min(crossing[j], latest)


@jit
def add_ramp(crossing, bias, limit, potential):
    """Add what the bias has contributed up to the crossing, or to the end of the window."""
    one = bias.dtype.type(1)
    for j in range(potential.size):
        potential[j] += bias[j] * (crossing[j] + one if crossing[j] < np.inf else limit)


@inlined
def copy(source, target):
    """Copy as many numbers as the target holds."""
    for j in range(target.size):
        target[j] = source[j]
