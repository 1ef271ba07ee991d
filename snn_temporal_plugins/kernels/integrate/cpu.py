"""One sample of single-spike neurons from its events to its results, compiled by numba."""

from __future__ import annotations

import numpy as np

from ..common.cpu import aligned, jit

TILE = 16  # rows and columns that are transposed inside the cache
LANES = 16


@jit
def add(v, crossing, row):
    """Let one input act on the neurons that have not fired."""
    for j in range(v.size // LANES * LANES):
        v[j] += row[j] if crossing[j] == np.inf else v.dtype.type(0)


@jit
def add_freely(v, row):
    """Let one input act on every neuron, fired or not."""
    for j in range(v.size // LANES * LANES):
        v[j] += row[j]


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
def fire_on_ramp(v, crossing, level, bias, threshold, now, then):
    """Fire who exceeds the threshold at a step from ``now`` up to ``then``, exclusive.

    The potential of step t is ``v + bias * (t + 1)``; ``level`` keeps the ``v`` of the spike. The
    first loop only asks whether any neuron might; it looks one step too far, which costs nothing
    but time.
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
            crossing[j], level[j] = at, v[j]


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
        fire_on_ramp(v, crossing, v, bias, threshold, v.dtype.type(0), start)
    for r in range(events.size):
        now, then = times[events[r]], times[events[r + 1]] if r + 1 < events.size else limit
        add(v, crossing, rows[events[r]])
        if now < then:
            fire_on_ramp(v, crossing, v, bias, threshold, now, then)
            silent = first_silent(crossing, silent, outputs)
            if silent == outputs:
                break


@jit
def add_and_note(v, row, threshold, now, crossing, level):
    """The last input of one time: note first crossings and the potential there."""
    for j in range(v.size // LANES * LANES):
        height = v[j] + row[j]
        fires = (height > threshold) & (crossing[j] == np.inf)
        v[j] = height
        crossing[j] = now if fires else crossing[j]
        level[j] = height if fires else level[j]


@jit
def note_peak(v, now, peak, peak_time):
    """Note where the potential is larger than ever."""
    for j in range(v.size // LANES * LANES):
        higher = v[j] > peak[j]
        peak[j] = v[j] if higher else peak[j]
        peak_time[j] = now if higher else peak_time[j]


@jit
def track_on_ramp(v, bias, threshold, now, then, end, crossing, level, peak, peak_time):
    """First crossings and peaks of the steps from ``now`` up to ``then``, exclusive."""
    fire_on_ramp(v, crossing, level, bias, threshold, now, then)
    one = v.dtype.type(1)
    last = min(then, end) - one  # a ramp is highest at one of its ends
    for j in range(v.size // LANES * LANES):
        at = last if bias[j] > 0 else now
        height = v[j] + bias[j] * (at + one)
        higher = (now < end) & (height > peak[j])
        peak[j] = height if higher else peak[j]
        peak_time[j] = at if higher else peak_time[j]


@jit
def integrate_with_peaks(events, times, rows, bias, threshold, limit, end, state):
    """Like the two above without end at a spike, noting the largest potential before ``end``."""
    v, crossing, level, peak, peak_time = state[0], state[1], state[2], state[3], state[4]
    start = times[events[0]] if events.size else limit
    if bias.size and start > 0:
        zero = v.dtype.type(0)
        track_on_ramp(v, bias, threshold, zero, start, end, crossing, level, peak, peak_time)
    for r in range(events.size):
        now, row = times[events[r]], rows[events[r]]
        then = times[events[r + 1]] if r + 1 < events.size else limit
        if bias.size or not now < then:
            add_freely(v, row)
        if not now < then:
            continue
        if bias.size:
            track_on_ramp(v, bias, threshold, now, then, end, crossing, level, peak, peak_time)
        else:
            add_and_note(v, row, threshold, now, crossing, level)
            if now < end:
                note_peak(v, now, peak, peak_time)


@jit
def room(rows):
    """State ``[5, O']`` of the neurons that share ``rows``.

    In its rows: v, crossing, potential at the spike, peak and its time.
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
        state[3] = -np.inf
        state[4] = -1
        integrate_with_peaks(events, times, rows, bias, threshold, limit, limit - delay, state)
    elif bias.size:
        integrate_on_ramp(events, times, rows, bias, threshold, limit, state[0], state[1], out.size)
    else:
        integrate(events, times, rows, threshold, state[0], state[1], out.size)
    conclude(state[0], state[1], state[2 if with_peaks else 0], delay, limit, out, potential, until)
    if bias.size:
        add_ramp(state[1], bias, limit, potential)


@jit
def conclude(v, crossing, level, delay, limit, out, potential, until):
    """Results from the final state, without the ramp of a bias."""
    latest = min(limit - v.dtype.type(1), np.finfo(v.dtype).max)
    for j in range(out.size):  # three loops: the compiler vectorises each
        out[j] = crossing[j] + delay if crossing[j] + delay < limit else np.inf
    for j in range(out.size):
        potential[j] = level[j] if crossing[j] < np.inf else v[j]
    for j in range(out.size):
        until[j] = min(crossing[j], latest)


@jit
def add_ramp(crossing, bias, limit, potential):
    """Add what the bias has contributed up to the crossing, or to the end of the window."""
    one = bias.dtype.type(1)
    for j in range(potential.size):
        potential[j] += bias[j] * (crossing[j] + one if crossing[j] < np.inf else limit)


@jit
def copy(source, target):
    """Copy as many numbers as the target holds."""
    for j in range(target.size):
        target[j] = source[j]


@jit
def transpose(weight, rows, first, last):
    """Write the weights ``[O, I]`` of a block of inputs as rows ``[I + 1, O']``, zeros behind."""
    outputs = len(weight)
    for start in range(first, last, TILE):
        inputs = range(start, min(start + TILE, last))
        for j in range(0, outputs, TILE):
            for i in inputs:
                for k in range(j, min(j + TILE, outputs)):
                    rows[i, k] = weight[k, i]
        for i in inputs:
            rows[i, outputs:] = 0
