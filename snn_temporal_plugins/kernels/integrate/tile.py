"""Events acting on a tile of neurons whose state stays in registers, in vector instructions.

A compiler that makes vectors from a loop over neurons runs that loop once per event, and its state
passes through memory every time. Here the loop over events is the inner one. It has no branches:
an event behind which another of its time follows gets a threshold of ``inf``.
"""

from __future__ import annotations

from functools import reduce

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..common.lanes import BOOL, MASKS, WORD, Lanes, in_cases, loop

TILE = 5 if MASKS else 4  # vectors


class Tile:
    """Neurons that are still silent, and what all of them get from event to event.

    ``state [R, O']`` holds the potential and the crossing; with peaks also the potential that
    stays at the crossing, and the peak of the first one with its time.
    """

    def __init__(self, lanes, vectors, until, begin, end, events, now, limit, rows, width, state):
        self.lanes, self.builder, self.vectors = lanes, lanes.builder, range(vectors)
        self.until, self.span = until, (begin, end)
        self.events, self.now, self.limit = events, now, limit
        self.rows, self.state = rows, state
        self.row_size = self.builder.mul(width, WORD(lanes.item))

    def row(self, matrix, index):
        return self.builder.add(matrix, self.builder.mul(index, self.row_size))

    def run(self):
        """Let the events act; returns whether a neuron is still silent."""
        lanes, build = self.lanes, self.builder
        places = [self.row(self.state, WORD(i)) for i in range(5 if self.until else 2)]
        state = [[lanes.load(place, k) for k in self.vectors] for place in places]
        never = lanes.constant(float("inf"))
        first = lanes.splat(lanes.scalar(self.now, self.span[0]))
        silent = [lanes.truth(build.fcmp_ordered("==", at, never)) for at in state[1]]
        state[1] = [lanes.choose(s, first, at) for s, at in zip(silent, state[1], strict=True)]
        columns = [part for column in zip(silent, *state, strict=True) for part in column]
        columns = loop(build, *self.span, columns, self.event)
        size = len(state) + 1
        silent, *state = (columns[i::size] for i in range(size))
        state[1] = [lanes.choose(s, never, at) for s, at in zip(silent, state[1], strict=True)]
        for place, values in zip(places, state, strict=True):
            for k in self.vectors:
                lanes.store(values[k], place, k)
        return lanes.any(reduce(build.or_, silent))

    def event(self, r, columns):
        """State of all vectors behind event ``r``."""
        lanes, build = self.lanes, self.builder
        event = build.load(lanes.at(self.events, r, ir.IntType(32)))
        row = self.row(self.rows, build.zext(event, WORD))
        threshold, now = lanes.scalar(self.limit, r), lanes.scalar(self.now, r)
        then = lanes.scalar(self.now, build.add(r, r.type(1)))
        common = [lanes.splat(value) for value in (threshold, then)]
        if self.until:
            last = build.fcmp_ordered("<", threshold, lanes.number(float("inf")))
            noted = build.and_(last, build.fcmp_ordered("<", now, self.until))
            common += lanes.splat(noted), lanes.splat(now)
        size = len(columns) // len(self.vectors)
        act = self.act_with_peak if self.until else self.act
        parts = (columns[k * size : (k + 1) * size] for k in self.vectors)
        after = [act(lanes.load(row, k), part, *common) for k, part in enumerate(parts)]
        return [value for part in after for value in part]

    def act(self, weight, state, threshold, then):
        """One event, one vector: who stays silent would fire with the next event."""
        lanes, build = self.lanes, self.builder
        silent, v, crossing = state
        v = lanes.choose(silent, build.fadd(v, weight), v)
        below = lanes.truth(build.fcmp_unordered("<=", v, threshold))
        silent = build.and_(silent, below)
        return silent, v, lanes.choose(silent, then, crossing)

    def act_with_peak(self, weight, state, threshold, then, noted, now):
        """The same with a potential that goes on as if nobody fired, and its peak."""
        build = self.builder
        silent, free, crossing, level, peak, peak_time = state
        silent, level, crossing = self.act(weight, (silent, level, crossing), threshold, then)
        free = build.fadd(free, weight)
        higher = build.and_(build.fcmp_ordered(">", free, peak), noted)
        peak, peak_time = build.select(higher, free, peak), build.select(higher, now, peak_time)
        return silent, free, crossing, level, peak, peak_time


def _intrinsic(with_peaks):
    @intrinsic
    def advance(typing_context, until, vectors, begin, end, events, now, limit, rows, width, state):
        def generate(context, builder, signature, values):
            until, vectors, *rest = values
            lanes, result = Lanes(builder, until.type), cgutils.alloca_once(builder, BOOL)

            def program(size):
                tile = Tile(lanes, size, until if with_peaks else None, *rest)
                builder.store(tile.run(), result)

            in_cases(builder, vectors, TILE, program)
            return builder.load(result)

        word = types.int64
        return types.boolean(until, *[word] * 9), generate

    return advance


advance, advance_with_peaks = _intrinsic(False), _intrinsic(True)
