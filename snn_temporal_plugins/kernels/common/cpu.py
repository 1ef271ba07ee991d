"""Compilation and the order of events, shared by all numba kernels."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import event
from numba.extending import intrinsic

DIGIT = 8  # bits of one pass of the sort
BUCKETS = 1 << DIGIT
FEW = 16  # events that are not worth counting
STRIP = 16  # rows that are transposed at once


def _stamp() -> str:
    """Digest of the sources of all kernels."""
    sources = sorted(Path(__file__).parents[1].rglob("*.py"))
    return sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


_STAMP = _stamp()


def jit(function: Any, **options: Any) -> Any:
    """Compile without the interpreter lock, and keep the result on disk.

    numba compiles anew when the file of the function has changed; kernels also hold code of other
    files, so here any change of any kernel counts.
    """
    compiled = njit(nogil=True, cache=True, error_model="numpy", **options)(function)
    file = getattr(compiled._cache, "_cache_file", None)  # none if nothing can be written
    if file is not None:
        file._source_stamp = _STAMP
    return compiled


def inlined(function: Any) -> Any:
    """Like :func:`jit`, but part of whoever calls it.

    A loop over the neurons of a layer is short: handing over its arrays, and asking whether they
    overlap, costs as much as a dozen of its vectors.
    """
    return jit(function, forceinline=True)


def fused(function: Any) -> Any:
    """Like :func:`jit`; a product and the sum behind it may become one instruction."""
    return jit(function, fastmath={"contract"})


class _Announcement(event.Listener):
    """Says once that kernels are being compiled; a warm cache compiles nothing."""

    done = False

    def on_start(self, event: Any) -> None:
        ours = event.data["dispatcher"].py_func.__module__.startswith("snn_temporal_plugins.")
        if ours and not self.done:
            self.done = True
            print("snn_temporal_plugins: compiling kernels, once ...", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Announcement())


@intrinsic
def choose(typing_context, condition, yes, no):
    """``yes if condition else no`` without a branch, for loops that shall become vectors.

    Choosing between a new value and the one that is there becomes a masked store, which costs
    AMD's AVX2 processors ten times as much as the arithmetic. Let one of the two be a constant,
    and combine it with what is there by ``+``, :func:`smaller` or :func:`larger`.
    """

    def generate(context, builder, signature, arguments):
        return builder.select(*arguments)

    return yes(condition, yes, yes), generate


def _extreme(operation):
    """The smaller or larger of two numbers in one instruction, which knows nothing of NaN."""

    @intrinsic
    def function(typing_context, a, b):
        def generate(context, builder, signature, arguments):
            number = arguments[0].type
            kind = ir.FunctionType(number, [number, number])
            called = builder.module.declare_intrinsic(operation, [number], kind)
            return builder.call(called, arguments, fastmath=("nnan",))

        return a(a, a), generate

    return function


smaller, larger = _extreme("llvm.minnum"), _extreme("llvm.maxnum")


@jit
def aligned(size, like):
    """Uninitialised array of the type of ``like``, aligned to cache lines."""
    raw = np.empty(size + 64 // like.itemsize, like.dtype)
    start = (-raw.ctypes.data % 64) // like.itemsize
    return raw[start : start + size]


@jit
def transpose(source, target, first, last):
    """Write ``source [O, I]`` to the corner of ``target [I', O']``, and zeros to the rest of it.

    A block is a range of strips of the target, in which reads and writes fill cache lines.
    """
    outputs, inputs = source.shape
    for strip in range(first, last):
        start, end = strip * STRIP, min((strip + 1) * STRIP, target.shape[1])
        if start + STRIP <= outputs:
            for i in range(inputs):
                for j in range(STRIP):
                    target[i, start + j] = source[start + j, i]
        else:
            for i in range(inputs):
                for j in range(start, end):
                    target[i, j] = source[j, i] if j < outputs else 0
        for i in range(inputs, len(target)):
            for j in range(start, end):
                target[i, j] = 0


@jit
def sort_buffers(size, bits):
    """Room for :func:`sort_events` on ``size`` times: keys, order, counts."""
    return (
        np.empty((2, size), bits.dtype),
        np.empty((2, size), np.uint32),
        np.empty(BUCKETS, np.uint32),
    )


@jit
def insertion_sort(times, order):
    """Sort a few indices by their times, in place and stably."""
    for r in range(1, order.size):
        i, place = order[r], r
        while place and times[order[place - 1]] > times[i]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = i
    return order


@jit
def sort_events(times, bits, limit, buffers):
    """Indices of the times below ``limit``, in time order.

    A stable counting sort over digits of 8 bits: of the step itself where all times are whole
    (one or two passes), else of the bit pattern, which orders non-negative floats.
    """
    keys, order, counts = buffers
    one = bits.dtype.type(1)
    n, whole, latest = 0, True, times.dtype.type(0)
    for i in range(times.size):
        order[0, n] = i
        n += times[i] < limit
    if n <= FEW:
        return insertion_sort(times, order[0, :n])
    for r in range(n):
        t = times[order[0, r]]
        latest = max(latest, t)
        whole &= t == np.floor(t)
    if whole and latest < BUCKETS * BUCKETS:
        digits = 1 if latest < BUCKETS else 2
        for r in range(n):
            keys[0, r] = np.uint32(times[order[0, r]])
    else:
        digits = bits.itemsize
        no_sign = ~(one << bits.dtype.type(8 * bits.itemsize - 1))
        for r in range(n):
            keys[0, r] = bits[order[0, r]] & no_sign  # -0.0 is 0
    for digit in range(digits):
        shift, mask = bits.dtype.type(DIGIT * digit), bits.dtype.type(BUCKETS - 1)
        source, target = digit % 2, (digit + 1) % 2
        counts[:] = 0
        for r in range(n):
            counts[(keys[source, r] >> shift) & mask] += np.uint32(1)
        start = np.uint32(0)
        for k in range(BUCKETS):
            count = counts[k]
            counts[k] = start
            start += count
        for r in range(n):
            bucket = (keys[source, r] >> shift) & mask
            place = counts[bucket]
            counts[bucket] += np.uint32(1)
            keys[target, place] = keys[source, r]
            order[target, place] = order[source, r]
    return order[digits % 2, :n]
