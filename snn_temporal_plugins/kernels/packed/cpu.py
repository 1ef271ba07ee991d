"""Single-spike layers of binary synapses, 64 neurons per machine word, compiled by numba.

A potential is ``scale * (2 c - n)`` with ``c`` the positive ones of ``n`` inputs so far, so a
neuron fires when ``c`` reaches ``m = ceil((n + need) / 2)``. The counters ``c - m`` of all neurons
are kept bit by bit: plane ``p`` holds bit ``p`` of every counter, in two's complement. As ``m``
grows with every second input, an input either counts up where its weight is positive or counts
down where it is negative, and a neuron has fired when its sign bit, in the last plane, is gone.

The words of a layer come in groups of ``lanes`` (1 or 16). Lanes and planes are constants of the
compiled code, as lengths of tuples: only so does the compiler use vectors.
"""

from __future__ import annotations

import numpy as np

from ..common.cpu import inlined, jit
from ..common.events import sort_buffers, sort_events

NONE, ALL, ONE = np.uint64(0), np.uint64(2**64 - 1), np.uint64(1)
MAGIC, TOP = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)  # de Bruijn: finds a single bit
PLACE = np.zeros(64, np.int64)
for _bit in range(64):
    PLACE[((0x03F79D71B4CB0A89 << _bit) & (2**64 - 1)) >> 58] = _bit


@jit
def unused(fired, outputs):
    """Mark the places behind the last neuron as fired."""
    for w in range(fired.size):
        used = min(max(outputs - 64 * w, 0), 64)
        fired[w] = NONE if used == 64 else ALL << np.uint64(used)


@inlined
def start(planes, value, sizes):
    """Set the counters of all neurons to a value."""
    lanes, depth = len(sizes[0]), len(sizes[1])
    for g in range(len(planes)):
        for p in range(depth):
            for w in range(lanes):
                planes[g, lanes * p + w] = ALL if (value >> p) & 1 else NONE


@inlined
def count(planes, row, flip, sizes):
    """Count up where ``row`` is set or, with ``flip`` full, count down where it is not."""
    lanes, depth = len(sizes[0]), len(sizes[1])
    for g in range(len(planes)):
        group = planes[g]
        for w in range(lanes):
            carry = row[lanes * g + w] ^ flip
            for p in range(depth):
                bit = group[lanes * p + w]
                group[lanes * p + w] = bit ^ carry
                carry &= bit ^ flip


@inlined
def counter(planes, j, sizes):
    """Read the counter of neuron ``j``."""
    lanes, depth = len(sizes[0]), len(sizes[1])
    group, word, place = planes[(j >> 6) // lanes], (j >> 6) % lanes, np.uint64(j & 63)
    value = -(np.int64((group[lanes * (depth - 1) + word] >> place) & ONE) << (depth - 1))
    for p in range(depth - 1):
        value += np.int64((group[lanes * p + word] >> place) & ONE) << p
    return value


@inlined
def fire(planes, fired, now, crossing, potential, base, scale, extra, sizes):
    """Note who passed the threshold at ``now``; returns how many did."""
    lanes, depth = len(sizes[0]), len(sizes[1])
    news = 0
    for w in range(fired.size):
        fresh = ~(planes[w // lanes, lanes * (depth - 1) + w % lanes] | fired[w])
        fired[w] |= fresh
        while fresh:
            low = fresh & (~fresh + ONE)
            fresh ^= low
            j = (w << 6) + PLACE[(low * MAGIC) >> TOP]
            crossing[j] = now
            if potential.size:
                potential[j] = scale * (base + 2 * counter(planes, j, sizes)) + extra
            news += 1
    return news


@jit
def forward(
    times, bits, rows, scale, needs, drive, begin, delay, limit, sizes, out, potential, first, last
):
    """Spike times and potentials ``[B, O]`` of the samples of a block.

    ``rows [I, W]`` holds the signs of each input, one bit per neuron. ``needs[0]`` is the
    number that a potential needs, in units of the scale, and ``needs[s + 1]`` that after step
    ``begin + s`` of the late drive, which has added ``drive[s + 1]``. ``potential`` may be
    empty. ``sizes`` holds a tuple of as many numbers as a group has words, and one of as many as
    a counter has bits: their lengths are constants for the compiler, the numbers do not matter.
    """
    lanes, depth = len(sizes[0]), len(sizes[1])
    outputs, words, steps = out.shape[1], rows.shape[1], needs.size - 1
    buffers = sort_buffers(times.shape[1], bits)
    planes = np.empty((words // lanes, depth * lanes), np.uint64)
    fired, every = np.empty(words, np.uint64), np.full(words, ALL)
    nothing = times[0, :0]
    for b in range(first, last):
        events = sort_events(times[b], bits[b], limit, buffers)
        need, n, r, s, silent = needs[0], 0, 0, 0, outputs
        m = (need + 1) >> 1
        start(planes, -m, sizes)
        unused(fired, outputs)
        level = potential[b] if potential.size else nothing
        while (r < events.size or s < steps) and silent:
            now = times[b, events[r]] if r < events.size else limit
            if s < steps:
                now = min(now, begin + times.dtype.type(s))
            while r < events.size and times[b, events[r]] == now:
                n += 1
                wanted = (n + need + 1) >> 1
                count(planes, rows[events[r]], NONE if wanted == m else ALL, sizes)
                m = wanted
                r += 1
            if s < steps and begin + times.dtype.type(s) == now:
                s += 1
                need = needs[s]
                while m > (n + need + 1) >> 1:
                    count(planes, every, NONE, sizes)
                    m -= 1
            if n >= need:  # with fewer inputs nobody can fire
                base = 2 * m - n
                silent -= fire(planes, fired, now, out[b], level, base, scale, drive[s], sizes)
        for j in range(outputs):
            at = out[b, j]
            if at == np.inf and level.size:
                level[j] = scale * (2 * m - n + 2 * counter(planes, j, sizes)) + drive[s]
            out[b, j] = at + delay if at + delay < limit else np.inf
