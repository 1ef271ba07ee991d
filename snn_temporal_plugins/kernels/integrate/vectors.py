"""Events acting on a tile of neurons whose state stays in registers, in vector instructions.

A compiler that makes vectors from a loop over neurons runs that loop once per event, and its state
passes through memory every time. Here the loop over events is the inner one. It has no branches:
an event behind which another of its time follows gets a threshold of ``inf``.
"""

from __future__ import annotations

from functools import reduce

from llvmlite import ir
from numba import types
from numba.core import cgutils, codegen, config
from numba.extending import intrinsic

FEATURES = config.CPU_FEATURES or codegen.get_host_cpu_features()
MASKS = "+avx512f" in FEATURES  # registers for truth values
BYTES = 64 if MASKS else 32  # of a vector
TILE = 5 if MASKS else 4  # vectors

BYTE, WORD, BOOL = ir.IntType(8), ir.IntType(64), ir.IntType(1)


class Lanes:
    """Vector operations on numbers of one type; addresses are integers."""

    def __init__(self, builder, number):
        self.builder, self.number = builder, number
        self.item = 4 if isinstance(number, ir.FloatType) else 8
        self.count = BYTES // self.item
        self.kind = ir.VectorType(number, self.count)
        truth = BOOL if MASKS else ir.IntType(8 * self.item)
        self.truths = ir.VectorType(truth, self.count)

    def at(self, address, index, kind):
        """Pointer to element ``index`` of the array at ``address``."""
        pointer = self.builder.inttoptr(address, kind.as_pointer())
        return self.builder.gep(pointer, [index], inbounds=True)

    def vector(self, address, k):
        """Pointer to vector ``k`` of the array at ``address``."""
        first = self.at(address, WORD(k * self.count), self.number)
        return self.builder.bitcast(first, self.kind.as_pointer())

    def load(self, address, k):
        return self.builder.load(self.vector(address, k), align=self.item)

    def store(self, value, address, k):
        self.builder.store(value, self.vector(address, k), align=self.item)

    def scalar(self, address, index):
        return self.builder.load(self.at(address, index, self.number))

    def splat(self, value):
        none = ir.Constant(ir.VectorType(value.type, self.count), ir.Undefined)
        single = self.builder.insert_element(none, value, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.count), None)
        return self.builder.shuffle_vector(single, none, zeros)

    def constant(self, value):
        return self.splat(self.number(value))

    def truth(self, condition):
        """A condition as it is kept from event to event: as wide as the numbers without masks."""
        return condition if MASKS else self.builder.sext(condition, self.truths)

    def holds(self, truth):
        """The condition again."""
        if MASKS:
            return truth
        return self.builder.icmp_signed("<", truth, ir.Constant(self.truths, None))

    def any(self, truth):
        bits = self.builder.bitcast(self.holds(truth), ir.IntType(self.count))
        return self.builder.icmp_unsigned("!=", bits, bits.type(0))

    def choose(self, truth, yes, no):
        return self.builder.select(self.holds(truth), yes, no)


def loop(builder, begin, end, values, body):
    """``values = body(r, values)`` for r from ``begin`` up to ``end`` (at least once)."""
    before, block = builder.block, builder.append_basic_block("events")
    builder.branch(block)
    builder.position_at_end(block)
    r, *now = (builder.phi(value.type) for value in (begin, *values))
    after = builder.add(r, r.type(1)), *body(r, now)
    for phi, first, later in zip((r, *now), (begin, *values), after, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, builder.block)
    done = builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", after[0], end), block, done)
    builder.position_at_end(done)
    return after[1:]


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
        never, first = lanes.constant(float("inf")), lanes.splat(lanes.scalar(self.now, self.span[0]))
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
    def advance(
        typing_context, until, vectors, begin, end, events, now, limit, rows, width, state
    ):
        def generate(context, builder, signature, values):
            until, vectors, *rest = values
            lanes, result = Lanes(builder, until.type), cgutils.alloca_once(builder, BOOL)
            done = builder.append_basic_block("tile_done")
            choice = builder.switch(vectors, done)
            for size in range(1, TILE + 1):
                block = builder.append_basic_block(f"tile_of_{size}")
                choice.add_case(WORD(size), block)
                builder.position_at_end(block)
                tile = Tile(lanes, size, until if with_peaks else None, *rest)
                builder.store(tile.run(), result)
                builder.branch(done)
            builder.position_at_end(done)
            return builder.load(result)

        word = types.int64
        return types.boolean(until, *[word] * 9), generate

    return advance


advance, advance_with_peaks = _intrinsic(False), _intrinsic(True)
