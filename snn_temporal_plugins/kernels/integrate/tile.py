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

TILE = 5 if MASKS else 3  # vectors
NARROW = 3  # vectors that leave the processor waiting for one another


class Tile:
    """Neurons that are still silent, and what all of them get from event to event.

    ``state [2, O']`` holds potential and crossing. A neuron that has fired gets nothing more.
    """

    height = 2  #: rows of the state

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
        never = lanes.constant(float("inf"))
        first = lanes.splat(lanes.scalar(self.now, self.span[0]))
        places = [self.row(self.state, WORD(i)) for i in range(self.height)]
        columns = []
        for k in self.vectors:
            potential, crossing, *others = (lanes.load(place, k) for place in places)
            silent = lanes.truth(build.fcmp_ordered("==", crossing, never))
            crossing = lanes.choose(silent, first, crossing)
            columns.append(self.opened(silent, crossing, potential, *others))
        columns = loop(build, *self.span, columns, self.event)
        for k, (silent, crossing, *others) in zip(self.vectors, columns, strict=True):
            crossing = lanes.choose(silent, never, crossing)
            potential, *others = self.closed(*others)
            for place, value in zip(places, (potential, crossing, *others), strict=True):
                lanes.store(value, place, k)
        return lanes.any(reduce(build.or_, (silent for silent, *_ in columns)))

    def opened(self, *state):
        """What is kept in registers: silence, crossing, potential and more."""
        return state

    def closed(self, *others):
        """What is stored again, without silence and crossing."""
        return others

    def event(self, r, columns):
        """State of all vectors behind event ``r``."""
        event = self.builder.load(self.lanes.at(self.events, r, ir.IntType(32)))
        row = self.row(self.rows, self.builder.zext(event, WORD))
        common = self.common(r)
        weights = (self.lanes.load(row, k) for k in self.vectors)
        return [self.act(w, *common, *state) for w, state in zip(weights, columns, strict=True)]

    def common(self, r):
        """What event ``r`` means to all neurons: threshold behind it, time of the next one."""
        threshold = self.lanes.scalar(self.limit, r)
        then = self.lanes.scalar(self.now, self.builder.add(r, r.type(1)))
        return self.lanes.splat(threshold), self.lanes.splat(then)

    def act(self, weight, threshold, then, *state):
        """One event, one vector: who stays silent would fire with the next event."""
        silent, crossing, potential = state
        potential = self.lanes.choose(silent, self.builder.fadd(potential, weight), potential)
        return *self.tested(threshold, then, silent, crossing, potential), potential

    def tested(self, threshold, then, silent, crossing, potential):
        lanes, build = self.lanes, self.builder
        below = lanes.truth(build.fcmp_unordered("<=", potential, threshold))
        silent = build.and_(silent, below)
        return silent, lanes.choose(silent, then, crossing)


class NarrowTile(Tile):
    """Potentials go on as if nobody fired, so that no addition waits for a test.

    That takes two instructions more, which a narrow tile has the time for.
    """

    def opened(self, *state):
        silent, crossing, potential = state
        return silent, crossing, potential, potential

    def closed(self, *others):
        _, level = others
        return (level,)

    def act(self, weight, threshold, then, *state):
        silent, crossing, free, level = state
        free = self.builder.fadd(free, weight)
        level = self.lanes.choose(silent, free, level)
        return *self.tested(threshold, then, silent, crossing, free), free, level


class PeakTile(NarrowTile):
    """Also notes the first peak of the potential that goes on, and its time.

    ``state [5, O']`` holds that potential, the crossing, the potential that stays at the crossing,
    the peak and its time.
    """

    height = 5

    def opened(self, *state):
        return state

    def closed(self, *others):
        return others

    def common(self, r):
        lanes, build = self.lanes, self.builder
        now = lanes.scalar(self.now, r)
        last = build.fcmp_ordered("<", lanes.scalar(self.limit, r), lanes.number(float("inf")))
        noted = build.and_(last, build.fcmp_ordered("<", now, self.until))
        return *super().common(r), lanes.splat(noted), lanes.splat(now)

    def act(self, weight, threshold, then, *state):
        build = self.builder
        noted, now, *integrated, peak, peak_time = state
        integrated = super().act(weight, threshold, then, *integrated)
        free = integrated[2]
        higher = build.and_(build.fcmp_ordered(">", free, peak), noted)
        peak, peak_time = build.select(higher, free, peak), build.select(higher, now, peak_time)
        return *integrated, peak, peak_time


def _intrinsic(with_peaks):
    @intrinsic
    def advance(typing_context, until, vectors, begin, end, events, now, limit, rows, width, state):
        def generate(context, builder, signature, values):
            until, vectors, *rest = values
            lanes, result = Lanes(builder, until.type), cgutils.alloca_once(builder, BOOL)

            def program(size):
                kind = PeakTile if with_peaks else NarrowTile if size <= NARROW else Tile
                builder.store(kind(lanes, size, until, *rest).run(), result)

            in_cases(builder, vectors, TILE, program)
            return builder.load(result)

        word = types.int64
        return types.boolean(until, *[word] * 9), generate

    return advance


advance, advance_with_peaks = _intrinsic(False), _intrinsic(True)
