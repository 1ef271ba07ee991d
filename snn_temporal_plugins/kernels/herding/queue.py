"""Queues of spikes: sending, and the order in which the next layer takes them.

A queue is ``(units, signs, keys)``: whose spike, its sign, and the residue it was sent at.
Functions that send return how many spikes the queue holds then, or ``FULL``.
"""

from __future__ import annotations

import numpy as np

from ..common.cpu import jit
from ..common.events import BUCKETS, DIGIT, FEW

LANES = 16  # rows are padded to whole vectors; ``size // LANES * LANES`` tells the compiler so
FULL = -1  # more spikes than the queue can hold


@jit
def make_queue(size, like):
    """An empty queue for ``size`` spikes."""
    return np.empty(size, np.uint32), np.empty(size, like.dtype), np.empty(size, like.dtype)


@jit
def emit(v, count, j, floor, queue, sent):
    """Send the spikes of one unit, while more than half a quantum is left.

    ``floor`` is minus half a quantum, or minus infinity for units that send no negative spikes.
    """
    units, signs, keys = queue
    half, one = v.dtype.type(0.5), v.dtype.type(1)
    while v[j] > half or v[j] < floor:
        if sent == units.size:
            return FULL
        sign = one if v[j] > half else -one
        units[sent], signs[sent], keys[sent] = j, sign, abs(v[j])
        v[j] -= sign
        count[j] += sign
        sent += 1
    return sent


@jit
def emit_all(v, count, floor, queue, sent):
    """Send the spikes of all units of a layer, behind those in the queue."""
    half = v.dtype.type(0.5)
    due, where = np.uint32(0), np.uint32(0)  # how many units; their sum: of one, the unit itself
    for j in range(v.size // LANES * LANES):
        reached = np.uint32(v[j] > half) | np.uint32(v[j] < floor)
        due += reached
        where += reached * np.uint32(j)
    if due == 1:
        return emit(v, count, np.int64(where), floor, queue, sent)
    for j in range(v.size if due else 0):
        if v[j] > half or v[j] < floor:
            sent = emit(v, count, j, floor, queue, sent)
            if sent == FULL:
                return FULL
    return sent


@jit
def sort_space(size, like, bits):
    """Room for :func:`sort_queue`."""
    return (
        np.empty((2, size), bits.dtype),
        np.empty((2, size), np.uint32),
        np.empty(BUCKETS, bits.dtype),
        *make_queue(size, like)[:2],
    )


@jit
def sort_queue(queue, bits, start, end, space):
    """Largest residue first, among equal ones the first unit.

    ``bits`` are the bit patterns of the residues, which order positive floats: a stable counting
    sort over their digits. The residues themselves are left as they are where it is used.
    """
    units, signs, _ = queue
    n, one = end - start, bits.dtype.type(1)
    if n <= FEW:
        insertion_sort(queue, start, end)
        return
    patterns, order, counts, units_then, signs_then = space
    for r in range(n):
        patterns[0, r], order[0, r] = ~bits[start + r], r
        units_then[r], signs_then[r] = units[start + r], signs[start + r]
    side = 0
    for digit in range(bits.itemsize):
        shift, mask = bits.dtype.type(DIGIT * digit), bits.dtype.type(BUCKETS - 1)
        counts[:] = 0
        for r in range(n):
            counts[(patterns[side, r] >> shift) & mask] += one
        if counts[(patterns[side, 0] >> shift) & mask] == n:
            continue  # all alike, as in the exponent
        total = bits.dtype.type(0)
        for k in range(BUCKETS):
            count = counts[k]
            counts[k] = total
            total += count
        for r in range(n):
            bucket = (patterns[side, r] >> shift) & mask
            place = counts[bucket]
            counts[bucket] += one
            patterns[1 - side, place], order[1 - side, place] = patterns[side, r], order[side, r]
        side = 1 - side
    for r in range(n):
        units[start + r] = units_then[order[side, r]]
        signs[start + r] = signs_then[order[side, r]]


@jit
def insertion_sort(queue, start, end):
    """:func:`sort_queue` for a few spikes."""
    units, signs, keys = queue
    for r in range(start + 1, end):
        unit, sign, key, place = units[r], signs[r], keys[r], r
        while place > start and keys[place - 1] < key:
            units[place], signs[place] = units[place - 1], signs[place - 1]
            keys[place] = keys[place - 1]
            place -= 1
        units[place], signs[place], keys[place] = unit, sign, key
