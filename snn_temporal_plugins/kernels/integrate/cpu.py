"""One sample of single-spike neurons from its events to its results, compiled by numba."""

from __future__ import annotations

import numpy as np

from ..common.cpu import aligned, choose, even_part, inlined, jit, larger
from ..common.lanes import BYTES
from .tile import TILE, advance, advance_with_peaks

LANES = 16  # numbers of neurons are filled up to multiples of it
LOOK = 64  # events between two looks whether every neuron has fired


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
def schedule(events, times, threshold, end, now, limits):
    """Time of each event, and the threshold behind it: none where another of its time follows."""
    never = times.dtype.type(np.inf)
    for r in range(events.size):
        now[r] = times[events[r]]
    now[events.size] = end
    for r in range(events.size):
        limits[r] = threshold if now[r] < now[r + 1] else never


@jit
def integrate(events, now, limits, rows, state):
    """Let the events of one sample act on the potential and the crossing of its neurons.

    A neuron that has fired keeps the potential of its spike.
    """
    lanes, width = BYTES // rows.itemsize, rows.shape[1]
    size = even_part(width // lanes, TILE)
    for first in range(0, width, size * lanes):
        tile, shift = min(size, (width - first) // lanes), first * rows.itemsize
        weights, neurons = rows.ctypes.data + shift, state.ctypes.data + shift
        start = 0
        while start < events.size:
            end = min(start + LOOK, events.size)
            waiting = advance(
                limits[0], tile, start, end, events.ctypes.data, now.ctypes.data,
                limits.ctypes.data, weights, width, neurons,
            )  # fmt: skip
            start = end if waiting else events.size


@jit
def integrate_on_ramp(events, now, rows, bias, threshold, state, outputs):
    """Like :func:`integrate` with a bias, whose ramp is not in the potential."""
    v, crossing, silent = state[0], state[1], 0
    if now[0] > 0:
        fire_on_ramp(v, crossing, bias, threshold, v.dtype.type(0), now[0])
    for r in range(events.size):
        add(v, crossing, rows[events[r]])
        if now[r] < now[r + 1]:
            fire_on_ramp(v, crossing, bias, threshold, now[r], now[r + 1])
            silent = first_silent(crossing, silent, outputs)
            if silent == outputs:
                break


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
def integrate_with_peaks(events, now, limits, rows, until, state):
    """Like :func:`integrate` to the end of the window, noting the peaks before ``until``."""
    lanes, width = BYTES // rows.itemsize, rows.shape[1]
    size = even_part(width // lanes, TILE)
    for first in range(0, width if events.size else 0, size * lanes):
        tile, shift = min(size, (width - first) // lanes), first * rows.itemsize
        advance_with_peaks(
            until, tile, 0, events.size, events.ctypes.data, now.ctypes.data, limits.ctypes.data,
            rows.ctypes.data + shift, width, state.ctypes.data + shift,
        )  # fmt: skip


@jit
def integrate_with_peaks_on_ramp(events, now, rows, bias, threshold, until, state):
    """Like :func:`integrate_with_peaks` with a bias, whose ramp is not in the potential."""
    v, crossing, level, peak, peak_time = state[0], state[1], state[2], state[3], state[4]
    noted = v, level, crossing, peak, peak_time
    if now[0] > 0:
        track_on_ramp(*noted, bias, threshold, v.dtype.type(0), now[0], until)
    for r in range(events.size):
        add_freely(v, rows[events[r]])
        add(level, crossing, rows[events[r]])
        if now[r] < now[r + 1]:
            track_on_ramp(*noted, bias, threshold, now[r], now[r + 1], until)


@jit
def room(rows, inputs):
    """State ``[5, O']`` of the neurons that share ``rows``, times and thresholds of their events.

    In the rows of the state: potential, crossing; with peaks the potential goes on as if nobody
    fired, and there are the one that stays at the crossing, the peak of the other and its time.
    """
    state = aligned(5 * rows.shape[1], rows).reshape(5, rows.shape[1])
    return state, np.empty(inputs + 1, rows.dtype), np.empty(inputs, rows.dtype)


@jit
def solve(
    events, times, rows, bias, threshold, delay, limit, with_peaks, workspace, out, potential, until
):  # fmt: skip
    """Integrate from rest to the end of the window.

    Writes spike times, potentials and latest causal times ``[O]``; peaks stay in the state.
    """
    state, now, limits = workspace
    rest(state, out.size, with_peaks)
    schedule(events, times, threshold, limit, now, limits)
    if with_peaks:
        if bias.size:
            last = limit - delay
            integrate_with_peaks_on_ramp(events, now, rows, bias, threshold, last, state)
        else:
            integrate_with_peaks(events, now, limits, rows, limit - delay, state)
    elif bias.size:
        integrate_on_ramp(events, now, rows, bias, threshold, state, out.size)
    else:
        integrate(events, now, limits, rows, state)
    conclude(state[1], state[2 if with_peaks else 0], delay, limit, out, potential, until)
    if bias.size:
        add_ramp(state[1], bias, limit, potential)


@inlined
def rest(state, outputs, with_peaks):
    """State of neurons at rest; those that only fill up the last vector count as fired."""
    state[0] = 0
    state[1] = np.inf
    state[1, outputs:] = -1
    if with_peaks:
        state[2] = 0
        state[3] = -np.inf
        state[4] = -1


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
