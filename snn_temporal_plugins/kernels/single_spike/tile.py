"""The gradient of the weights of one neuron, a tile of it in registers, in vector instructions."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..common.lanes import WORD, Lanes, in_cases, loop

TILE = 8  # vectors


def _sum_of_errors(lanes, vectors, samples, size, causes, errors, times, row, gradient):
    build = lanes.builder
    row = build.mul(row, WORD(lanes.item))

    def add(r, sums):
        sample = build.zext(build.load(lanes.at(samples, r, ir.IntType(32))), WORD)
        inputs = build.add(times, build.mul(sample, row))
        cause, error = (lanes.splat(lanes.scalar(array, r)) for array in (causes, errors))
        for k, (total,) in enumerate(sums):
            acted = build.fcmp_ordered("<=", lanes.load(inputs, k), cause)
            yield (build.select(acted, build.fadd(total, error), total),)

    nothing = [(lanes.constant(0.0),)] * vectors
    for k, (total,) in enumerate(loop(build, WORD(0), size, nothing, add)):
        lanes.store(total, gradient, k)


@intrinsic
def sum_errors(
    typing_context, like, vectors, samples, size, causes, errors, times, row, gradient
):  # fmt: skip
    """Write the gradient of so many vectors of weights of one neuron.

    Of the ``samples [n]``, which are in order, each gives its error to the inputs whose time is at
    most its cause; ``times`` and ``gradient`` start at the first of the weights, and ``row`` is
    the number of inputs.
    """

    def generate(context, builder, signature, values):
        like, vectors, *rest = values
        lanes = Lanes(builder, like.type)
        in_cases(builder, vectors, TILE, lambda k: _sum_of_errors(lanes, k, *rest))
        return context.get_dummy_value()

    return types.void(like, *[types.int64] * 8), generate
