"""Reverse sweep of a layer of exact LIF neurons, compiled by numba: one for all time constants.

Work comes in chunks of output neurons: every sum keeps its order whatever the number of threads.
"""

from __future__ import annotations

import math

import numpy as np

from ..common.cpu import aligned, jit
from ..exact_lif.cpu import LANES
from ..exact_lif_crossing.cpu import psp


@jit
def phantoms_of(pull, count, peak_time, order):
    """Silent neurons with a pull, by falling time of their peak."""
    size = 0
    for j in range(count.size):
        if count[j] == 0 and pull[j] != 0:
            place = size
            while place and peak_time[order[place - 1]] < peak_time[j]:
                order[place] = order[place - 1]
                place -= 1
            order[place] = j
            size += 1
    return order[:size]


@jit
def back(l_v, l_i, em, es, k):
    """Move the adjoint states back in time."""
    for j in range(l_v.size // LANES * LANES):
        l_i[j] = l_i[j] * es + l_v[j] * k
        l_v[j] *= em


@jit
def take(gradient, l_i):
    """Gradient of the weights of one input."""
    for j in range(l_i.size // LANES * LANES):
        gradient[j] -= l_i[j]


@jit
def lag(row, l_v, l_i, decay):
    """Gradient of the time of one input: eight sums side by side, then their sum."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = row.dtype.type(0)
    for j in range(0, l_v.size // LANES * LANES, 8):
        s0 += row[j] * (l_v[j] - decay * l_i[j])
        s1 += row[j + 1] * (l_v[j + 1] - decay * l_i[j + 1])
        s2 += row[j + 2] * (l_v[j + 2] - decay * l_i[j + 2])
        s3 += row[j + 3] * (l_v[j + 3] - decay * l_i[j + 3])
        s4 += row[j + 4] * (l_v[j + 4] - decay * l_i[j + 4])
        s5 += row[j + 5] * (l_v[j + 5] - decay * l_i[j + 5])
        s6 += row[j + 6] * (l_v[j + 6] - decay * l_i[j + 6])
        s7 += row[j + 7] * (l_v[j + 7] - decay * l_i[j + 7])
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@jit
def sweep(
    times,
    events,
    copies,
    rows,
    slots,
    spikes,
    pull,
    peak_time,
    phantoms,
    c,
    state,
    lags,
    gradient,
    on_threshold,
    first,
    last,
):
    """Gradients of one sample from the neurons ``first ... last - 1``.

    ``spikes`` lists the output spikes in time order, with errors, times and slopes of all of them.
    What later spikes ask of the potential reaches the earlier ones of a neuron through its reset:
    ``reset`` holds it, ``since`` the time at which it does.
    """
    threshold, leak, decay, floor = c
    fired, errors, out, slope = spikes
    l_v, l_i, reset, since = state
    kind = l_v.dtype.type
    l_v[:] = 0
    l_i[:] = 0
    reset[:] = 0
    p, q, active, at = fired.size - 1, 0, False, 0.0
    r = events.size - 1
    while r >= 0:
        now = np.float64(times[events[r]])
        if active:
            k, em, es = psp(at - now, leak, decay)
            back(l_v, l_i, kind(em), kind(es), kind(k))
        at = now
        while p >= 0 and out[fired[p]] > now:
            place = fired[p]
            j = place // slots - first
            p -= 1
            if not 0 <= j < last - first:
                continue
            t, later = np.float64(out[place]), reset[j]
            if later != 0.0:
                later *= math.exp(-leak * (since[j] - t))
            share = (errors[place] + threshold * leak * later) / max(slope[place], floor)
            on_threshold[first + j] += share + later
            reset[j], since[j] = later + share, t
            if share != 0.0:
                k, em, es = psp(t - now, leak, decay)
                l_v[j] += share * em
                l_i[j] += share * k
                active = True
        while q < phantoms.size and peak_time[phantoms[q]] > now:
            j = phantoms[q]
            q += 1
            if first <= j < last:
                k, em, es = psp(peak_time[j] - now, leak, decay)
                l_v[j - first] += pull[j] * em
                l_i[j - first] += pull[j] * k
                active = True
        while r >= 0 and times[events[r]] == now:
            if active:
                source = events[r] // copies
                take(gradient[source, first : first + l_i.size], l_i)
                if lags.size:
                    row = rows[source, first : first + l_i.size]
                    lags[events[r]] = lag(row, l_v, l_i, kind(decay))
            r -= 1


@jit
def backward(
    times,
    copies,
    rows,
    errors,
    pull,
    out,
    slope,
    peak_time,
    count,
    events,
    arrived,
    fired,
    spikes,
    constants,
    floor,
    chunk,
    lags,
    gradient,
    on_threshold,
    first,
    last,
):
    """Gradients from a block of chunks of ``chunk`` neurons.

    ``errors [B, O, K]`` and ``pull [B, O]`` are gradients on spike times and on minus the peaks,
    ``rows [I + 1, O']`` the weights that carry errors back. ``lags [chunks, B, E]`` (or
    ``[chunks, B, 0]``: not wanted), ``gradient [I + 1, O']`` and ``on_threshold [O]`` get the
    results.
    """
    threshold, leak, decay = constants
    outputs = out.shape[1]
    order = np.empty(outputs, np.uint32)
    for place in range(first, last):
        begin = chunk * place
        stop = min(begin + chunk, outputs)
        width = min(chunk, rows.shape[1] - begin)
        state = (
            aligned(width, rows),
            aligned(width, rows),
            np.empty(width, np.float64),
            np.empty(width, np.float64),
        )
        for b in range(len(times)):
            listed = fired[b, : spikes[b]]
            sweep(
                times[b],
                events[b, : arrived[b]],
                copies,
                rows,
                out.shape[2],
                (listed, errors[b].ravel(), out[b].ravel(), slope[b].ravel()),
                pull[b],
                peak_time[b],
                phantoms_of(pull[b], count[b], peak_time[b], order),
                (threshold, leak, decay, floor),
                state,
                lags[place, b],
                gradient,
                on_threshold,
                begin,
                stop,
            )
