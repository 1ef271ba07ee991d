"""Compilation and small loops, shared by all numba kernels."""

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

from .lanes import BYTES, turn

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


@inlined
def even_part(total, most):
    """Size of the parts when a total is cut into as few as possible of at most that size."""
    parts = max(-(-total // most), 1)
    return max(-(-total // parts), 1)


@jit
def transpose(source, target, first, last):
    """Write ``source [O, I]`` to the corner of ``target [I', O']``, and zeros to the rest of it.

    A block is a range of strips of the target, in which reads and writes fill cache lines.
    """
    (outputs, inputs), width, item = source.shape, target.shape[1], source.itemsize
    (source_row, target_row), lanes = (source.strides[0], target.strides[0]), BYTES // item
    for strip in range(first, last):
        start, end = strip * STRIP, min((strip + 1) * STRIP, len(target))
        whole = outputs // lanes * lanes if start + STRIP <= inputs else 0
        for j in range(0, whole, lanes):
            for i in range(start, end, lanes):
                block = source.ctypes.data + j * source_row + i * item
                turned = target.ctypes.data + i * target_row + j * item
                turn(target.dtype.type(0), block, source_row, turned, target_row)
        for i in range(start, end):
            for j in range(whole, width):
                target[i, j] = source[j, i] if i < inputs and j < outputs else 0
