"""Potential, peak and threshold crossing of one exact LIF neuron, compiled by numba.

The state ``(v, i)`` is that at an event, all delays start there. Everything is float64.
"""

from __future__ import annotations

import math

import numpy as np

from ..common.cpu import jit

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
