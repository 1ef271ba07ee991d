"""Potential, peak and threshold crossings of exact LIF neurons, compiled by numba.

The state ``(v, i)`` is that at an event, all delays start there. Everything is float64.
"""

from __future__ import annotations

import math

import numpy as np

from ..common.cpu import choose, jit, larger, smaller

LAST = -1 / 720  # the next term is below 2e-13 of the sum


@jit
def psp(s, leak, decay):
    """Potential of one unit of weight after ``s``, and the decays of potential and current."""
    em, x = math.exp(-leak * s), (decay - leak) * s
    if abs(x) < 0.03:  # one exponential and the series of (1 - exp(-x)) / x
        rise = 1.0 + x * (-1 / 2 + x * (1 / 6 + x * (-1 / 24 + x * (1 / 120 + x * LAST))))
        return s * em * rise, em, em * (1.0 - x * rise)
    es = math.exp(-decay * s)
    if abs(x) > 0.05:
        return (em - es) / (decay - leak), em, es
    return -math.expm1(-x) / x * s * em, em, es


@jit
def peak_delay(v, i, leak, decay):
    """Time until the potential stops rising; 0 where it falls from the start."""
    gap, slope = decay - leak, i - leak * v
    tail = i + gap * v
    if not (i > 0.0 and slope > 0.0 and tail > 0.0):
        return 0.0
    if leak == 0.0:
        return np.inf
    ratio = slope / (leak * tail)
    return math.log1p(gap * ratio) / gap if gap != 0.0 else ratio


@jit
def newton_crossing(v, i, within, threshold, leak, decay):
    """Delay of the upward crossing for any two rates; ``inf`` where there is none.

    Up to its peak the potential is concave, so from the left Newton's method cannot pass the
    crossing, and from the right its next step is to the left. Two steps with the curvature lead
    close to it.
    """
    peak = peak_delay(v, i, leak, decay)
    top = min(peak, within)
    if top == 0.0:
        return np.inf
    k, em, es = psp(top, leak, decay)
    level = v * em + i * k
    if level < threshold or (peak <= within and level == threshold):
        return np.inf
    s, last = 0.0, 0.0
    for step in range(100):
        k, em, es = psp(s, leak, decay)
        level = v * em + i * k
        slope = i * es - leak * level
        miss = threshold - level
        if slope <= 0.0:
            break
        if step < 2:
            curve = -decay * i * es - leak * slope
            root = slope * slope + 2.0 * curve * miss
            move = 2.0 * miss / (slope + math.sqrt(root)) if root > 0.0 else miss / slope
        else:
            move = miss / slope
        last, s = s, min(max(s + move, 0.0), top)
        if abs(s - last) <= 4e-16 * s or (step > 2 and move <= 0.0):
            break
    return s


@jit
def cross_newton(n, hits, spikes, size, now, then, c, limit, end, v, i, bar, count):
    """Spikes of the ``n`` neurons in ``hits``, behind ``size`` others, and their states at the end.

    Functions that are called for every spike take few arrays: numba passes each as nine numbers.
    """
    threshold, leak, decay, _ = c
    (hit, hit_v, hit_i, _, _), (who, when, left) = hits, spikes
    for h in range(n):
        j, vj, ij, t, rest = hit[h], hit_v[h], hit_i[h], now, then - now
        before = size
        while count[j] < limit:
            delay = newton_crossing(vj, ij, rest, threshold, leak, decay)
            at = min(t + delay, then)
            if delay == np.inf or at >= end:
                break
            vj, ij, t, rest = 0.0, ij * math.exp(-decay * delay), at, max(rest - delay, 0.0)
            who[size], when[size], left[size] = j, at, ij
            size += 1
            count[j] += 1
        if size > before:
            k, em, es = psp(rest, leak, decay)
            v[j], i[j] = vj * em + ij * k, ij * es
            if count[j] == limit:
                bar[j] = np.inf
    return size


@jit
def closed_decays(n, hit_v, hit_i, hit_z, decays, threshold, leak, em):
    """Solve ``n`` quadratic equations: ``exp(-leak delay)`` of the next spike, 0 if there is none.

    ``hit_z`` holds ``exp(-leak s)`` of the delay ``s`` at which the states ``hit_v`` and ``hit_i``
    begin, ``em`` that of the end.
    """
    for h in range(n):
        v, i = hit_v[h], hit_i[h]
        b = v * leak + i
        discriminant = b * b - 4.0 * i * threshold * leak
        y = (b + math.sqrt(larger(discriminant, 0.0))) / (2.0 * i)
        now = (y >= 1.0) & (i > leak * v) & (v >= threshold * (1.0 - 1e-6))
        found = (i > 0.0) & (b > 0.0) & (discriminant > 0.0) & ((y < 1.0) | now)
        y = smaller(y, 1.0)
        decays[h] = choose(found & (y * hit_z[h] >= em), y, 0.0)


@jit
def cross_closed(n, hits, spikes, size, now, then, em, c, limit, end, v, i, bar, count):
    """The same where ``tau_mem = 2 tau_syn``: rounds of vectors, one for each further spike."""
    threshold, leak, _, _ = c
    (hit, hit_v, hit_i, hit_z, decays), (who, when, left) = hits, spikes
    hit_z[:n] = 1.0
    while n:
        closed_decays(n, hit_v, hit_i, hit_z, decays, threshold, leak, em)
        again = 0
        for h in range(n):
            y, j = decays[h], hit[h]
            if y == 0.0:
                continue
            z = hit_z[h] * y
            at = min(now - math.log(z) / leak, then)
            if at >= end:
                continue
            current, rest = hit_i[h] * y * y, em / z
            v[j], i[j] = current * rest * (1.0 - rest) / leak, current * rest * rest
            who[size], when[size], left[size] = j, at, current
            size += 1
            count[j] += 1
            if count[j] == limit:
                bar[j] = np.inf
            elif current > 4.0 * threshold * leak:
                hit[again], hit_v[again], hit_i[again], hit_z[again] = j, 0.0, current, z
                again += 1
        n = again
    return size
