"""Kernels over blocks for a team of threads, without a line of Python between the blocks.

Whoever starts the team gets a C function and its data, as in ``GOMP_parallel`` of GNU OpenMP; the
function takes blocks until none is left, so the result is complete however many threads come.
"""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .cpu import jit

POINTER, INT = ir.IntType(8).as_pointer(), ir.IntType(32)
REGION = ir.FunctionType(ir.VoidType(), [POINTER])
START = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, INT, INT])


@cache
def in_blocks(kernel: Any) -> Any:
    """``run(start, threads, size, blocks, *arguments)`` for ``kernel(*arguments, first, last)``.

    ``start`` is the address of the C function that lets ``threads`` threads run another one.
    """
    name = f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}"
    known = {"__name__": __name__, "share_out": share_out, "kernel": kernel}
    run = FunctionType(_run.__code__, known, name)
    run.__qualname__ = name  # under which numba keeps it on disk
    return jit(run)


def _run(start, threads, size, blocks, *arguments):
    share_out(kernel, start, threads, size, blocks, arguments)  # type: ignore[name-defined]  # noqa: F821


@intrinsic
def share_out(typing_context, kernel, start, threads, size, blocks, arguments):
    """Run the blocks of a kernel on a team and return when all are done."""
    word = types.int64
    call = typing_context.resolve_function_type(kernel, (*arguments.types, word, word), {})

    def generate(context, builder, signature, values):
        _, start, threads, size, blocks, packed = values
        compiled = kernel.dispatcher.overloads[call.args]
        context.active_code_library.add_linking_library(compiled.library)
        parts = size.type(0), size, blocks, packed
        data = cgutils.alloca_once(builder, ir.LiteralStructType([part.type for part in parts]))
        for place, part in enumerate(parts):
            builder.store(part, cgutils.gep_inbounds(builder, data, 0, place))
        region = _region(context, builder.module, compiled.fndesc, call, data.type)
        team = builder.inttoptr(start, START.as_pointer())
        pointers = (builder.bitcast(part, POINTER) for part in (region, data))
        builder.call(team, [*pointers, builder.trunc(threads, INT), INT(0)])
        return context.get_dummy_value()

    return types.void(kernel, word, word, word, word, arguments), generate


def _region(context, module, descriptor, call, data_type):
    """C function that takes blocks from ``(next block, size, blocks, arguments)``."""
    region = ir.Function(module, REGION, module.get_unique_name("region"))
    region.linkage = "internal"
    entry, loop, body, end = (region.append_basic_block() for _ in range(4))
    builder = ir.IRBuilder(entry)
    data = builder.bitcast(region.args[0], data_type)
    counter, *places = (cgutils.gep_inbounds(builder, data, 0, place) for place in range(4))
    size, blocks, packed = map(builder.load, places)
    arguments = [
        _lent(context, builder, kind, builder.extract_value(packed, k))
        for k, kind in enumerate(call.args[:-2])
    ]
    builder.branch(loop)
    builder.position_at_end(loop)
    block = builder.atomic_rmw("add", counter, size.type(1), "monotonic")
    builder.cbranch(builder.icmp_signed("<", block, blocks), body, end)
    builder.position_at_end(body)
    following = builder.add(block, size.type(1))
    edges = (builder.sdiv(builder.mul(size, at), blocks) for at in (block, following))
    context.call_internal_no_propagate(builder, descriptor, call, (*arguments, *edges))
    builder.branch(loop)
    builder.position_at_end(end)
    builder.ret_void()
    return region


def _lent(context, builder, kind, value):
    """An array without its owner, so that no view of it counts references.

    The count is one number for all threads, which would pass its cache line to and fro.
    """
    if not isinstance(kind, types.Array):
        return value
    array = context.make_array(kind)(context, builder, value)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    return array._getvalue()
