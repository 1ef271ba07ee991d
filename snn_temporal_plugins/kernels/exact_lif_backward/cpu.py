"""Reverse sweep of a layer of exact LIF neurons, compiled by numba: one for all time constants.

Work comes in chunks of output neurons: every sum keeps its order whatever the number of threads.
"""

from __future__ import annotations

import math

import numpy as np

from ..common.cpu import aligned, jit
from ..exact_lif.cpu import LANES
from ..exact_lif_crossing.cpu import psp

CHUNK = 256  # output neurons whose adjoint states, and one row of weights, are in the cache


@jit
def spike_errors(errors, out, slope, count, floor, c, shares, on_threshold):
    """Shares of the spikes of one sample, through the reset also of later ones.

    ``shares`` is what a spike adds to the adjoint of the potential.
    """
    threshold, leak, _ = c
    for j in range(count.size):
        behind = 0.0  # adjoint of the potential, from later spikes
        total = 0.0
        for k in range(count[j] - 1, -1, -1):
            share = (errors[j, k] + threshold * leak * behind) / max(slope[j, k], floor)
            shares[j, k] = share
            total += share + behind
            if k and (share != 0.0 or behind != 0.0):
                behind = (behind + share) * math.exp(-leak * (out[j, k] - out[j, k - 1]))
        on_threshold[j] += total


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
    out,
    shares,
    fired,
    pull,
    peak_time,
    phantoms,
    c,
    l_v,
    l_i,
    lags,
    gradient,
    first,
    last,
):
    """Gradients of one sample from the neurons ``first ... last - 1``."""
    _, leak, decay = c
    kind, slots = l_v.dtype.type, out.shape[1]
    l_v[:] = 0
    l_i[:] = 0
    p, q, active, at = fired.size - 1, 0, False, 0.0
    r = events.size - 1
    while r >= 0:
        now = np.float64(times[events[r]])
        if active:
            k, em, es = psp(at - now, leak, decay)
            back(l_v, l_i, kind(em), kind(es), kind(k))
        at = now
        while p >= 0:
            j, number = divmod(fired[p], slots)
            t = out[j, number]
            if not t > now:
                break
            p -= 1
            if first <= j < last and shares[j, number] != 0.0:
                k, em, es = psp(t - now, leak, decay)
                l_v[j - first] += shares[j, number] * em
                l_i[j - first] += shares[j, number] * k
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
    lags,
    gradient,
    on_threshold,
    first,
    last,
):
    """Gradients from a block of chunks of neurons.

    ``errors [B, O, K]`` and ``pull [B, O]`` are gradients on spike times and on minus the peaks,
    ``rows [I + 1, O']`` the weights that carry errors back. ``lags [chunks, B, E]`` (or
    ``[chunks, B, 0]``: not wanted), ``gradient [I + 1, O']`` and ``on_threshold [O]`` get the
    results.
    """
    outputs = out.shape[1]
    for chunk in range(first, last):
        begin = CHUNK * chunk
        stop = min(begin + CHUNK, outputs)
        width = min(CHUNK, rows.shape[1] - begin)
        l_v, l_i = aligned(width, rows), aligned(width, rows)
        shares = np.empty((outputs, out.shape[2]), np.float64)
        order = np.empty(outputs, np.uint32)
        for b in range(len(times)):
            block = slice(begin, stop)
            spike_errors(
                errors[b, block],
                out[b, block],
                slope[b, block],
                count[b, block],
                floor,
                constants,
                shares[block],
                on_threshold[block],
            )
            phantoms = phantoms_of(pull[b], count[b], peak_time[b], order)
            sweep(
                times[b],
                events[b, : arrived[b]],
                copies,
                rows,
                out[b],
                shares,
                fired[b, : spikes[b]],
                pull[b],
                peak_time[b],
                phantoms,
                constants,
                l_v,
                l_i,
                lags[chunk, b],
                gradient,
                begin,
                stop,
            )
