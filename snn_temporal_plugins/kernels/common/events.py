"""The events of a sample in time order, for all numba kernels."""

from __future__ import annotations

import numpy as np

from .cpu import choose, inlined, jit, smaller
from .lanes import lit, lowest, ones

DIGIT = 8  # bits of one pass of the sort
BUCKETS = 1 << DIGIT
FEW = 16  # events that are not worth counting
AT_ONCE = 4  # steps between two looks whether there are more


@jit
def sort_buffers(size, bits):
    """Room for :func:`sort_events` on ``size`` times: keys, order, counts."""
    return (
        np.empty(size, bits.dtype),
        np.empty((2, size + AT_ONCE), np.uint32),
        np.empty(BUCKETS, np.uint32),
    )


@jit
def sort_events(times, bits, limit, buffers):
    """Indices of the times below ``limit``, in time order.

    A stable counting sort over digits of 8 bits: of the step itself where all times are whole
    (one or two passes), else of the bit pattern, which orders non-negative floats.
    """
    keys, order, counts = buffers
    n = collect(times, limit, order[0])
    if n <= FEW:
        return insertion_sort(times, order[0, :n])
    latest = whole_steps(times, limit, keys)
    if latest < BUCKETS * BUCKETS:
        digits = 1 if latest < BUCKETS else 2
    else:
        digits = bits.itemsize
        no_sign = ~(bits.dtype.type(1) << bits.dtype.type(8 * bits.itemsize - 1))
        for i in range(bits.size):
            keys[i] = bits[i] & no_sign  # -0.0 is 0
    for digit in range(digits):
        sort_by_digit(keys, digit, order[digit % 2, :n], order[(digit + 1) % 2], counts)
    return order[digits % 2, :n]


@inlined
def collect(times, limit, order):
    """Write the indices of the times below ``limit``; returns their number."""
    n, whole_words = 0, times.size // 64 * 64
    for first in range(0, whole_words, 64):
        bits = lit(times.ctypes.data + first * times.itemsize, limit)
        size = np.int64(ones(bits))
        for r in range(n, n + size, AT_ONCE):  # what is written too much is written over
            for k in range(AT_ONCE):
                order[r + k] = first + np.int64(lowest(bits))
                bits &= bits - np.uint64(1)
        n += size
    for i in range(whole_words, times.size):
        if times[i] < limit:
            order[n] = i
            n += 1
    return n


@inlined
def whole_steps(times, limit, keys):
    """Write the times below ``limit`` as whole numbers; returns the latest, or one too large."""
    zero, top = times.dtype.type(0), np.int32(BUCKETS * BUCKETS)
    bound, latest = times.dtype.type(top), np.int32(0)
    for i in range(times.size):
        time = smaller(choose(times[i] < limit, times[i], zero), bound)
        step = np.int32(time)
        keys[i] = step
        latest = max(latest, choose(time == times.dtype.type(step), step, top))
    return latest


@inlined
def insertion_sort(times, order):
    """Sort a few indices by their times, in place and stably."""
    for r in range(1, order.size):
        i, place = order[r], r
        while place and times[order[place - 1]] > times[i]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = i
    return order


@inlined
def sort_by_digit(keys, digit, source, target, counts):
    """Sort indices by one digit of their keys, stably."""
    shift, mask = keys.dtype.type(DIGIT * digit), keys.dtype.type(BUCKETS - 1)
    counts[:] = 0
    for i in source:
        counts[(keys[i] >> shift) & mask] += np.uint32(1)
    start = np.uint32(0)
    for k in range(0, BUCKETS, AT_ONCE):  # sums of four, for only one in four to wait for others
        two = counts[k] + counts[k + 1]
        three = two + counts[k + 2]
        four = three + counts[k + 3]
        counts[k + 3], counts[k + 2] = start + three, start + two
        counts[k + 1], counts[k] = start + counts[k], start
        start += four
    for i in source:
        bucket = (keys[i] >> shift) & mask
        target[counts[bucket]] = i
        counts[bucket] += np.uint32(1)
