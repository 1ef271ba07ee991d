"""Vector instructions for kernels in which the compiler does not find them by itself."""

from __future__ import annotations

from itertools import chain

from llvmlite import ir
from numba import types
from numba.core import codegen, config
from numba.extending import intrinsic

FEATURES = config.CPU_FEATURES  # which somebody may have chosen for numba
if FEATURES is None:
    FEATURES = codegen.get_host_cpu_features()
MASKS = "+avx512f" in FEATURES  # registers for truth values
BYTES = 64 if MASKS else 32  # of a vector

WORD, BOOL = ir.IntType(64), ir.IntType(1)


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

    def interleaved(self, a, b):
        """Elements of two vectors by turns, as two vectors."""
        order = [i // 2 + i % 2 * self.count for i in range(2 * self.count)]
        for half in (order[: self.count], order[self.count :]):
            mask = ir.Constant(ir.VectorType(ir.IntType(32), self.count), half)
            yield self.builder.shuffle_vector(a, b, mask)

    def transposed(self, rows):
        """As many vectors as a vector has elements, as their columns."""
        half = len(rows) // 2
        for _ in range(half.bit_length()):
            pairs = zip(rows[:half], rows[half:], strict=True)
            rows = [part for pair in pairs for part in self.interleaved(*pair)]
        return rows

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


def loop(builder, begin, end, rows, body):
    """``rows = body(r, rows)`` for r from ``begin`` up to ``end`` (at least once).

    ``rows`` is a list of rows of values that stay in registers.
    """
    before, block = builder.block, builder.append_basic_block("events")
    builder.branch(block)
    builder.position_at_end(block)
    r, *registers = (builder.phi(value.type) for value in (begin, *chain(*rows)))
    places = iter(registers)
    later = [list(row) for row in body(r, [[next(places) for _ in row] for row in rows])]
    after = builder.add(r, r.type(1))
    starts, ends = (begin, *chain(*rows)), (after, *chain(*later))
    for register, first, following in zip((r, *registers), starts, ends, strict=True):
        register.add_incoming(first, before)
        register.add_incoming(following, block)
    done = builder.append_basic_block("done")
    builder.cbranch(builder.icmp_signed("<", after, end), block, done)
    builder.position_at_end(done)
    return later


def in_cases(builder, number, most, program):
    """Run ``program(k)`` for the ``k`` from 1 to ``most`` that a number equals at run time."""
    done = builder.append_basic_block("cases_done")
    switch = builder.switch(number, done)
    for k in range(1, most + 1):
        block = builder.append_basic_block(f"case_{k}")
        switch.add_case(number.type(k), block)
        builder.position_at_end(block)
        program(k)
        builder.branch(done)
    builder.position_at_end(done)


@intrinsic
def lit(typing_context, numbers, limit):
    """Which of the 64 numbers at an address are below the limit, as bits of a word."""

    def generate(context, builder, signature, values):
        address, limit = values
        lanes, bits = Lanes(builder, limit.type), WORD(0)
        bound = lanes.splat(limit)
        for k in range(64 // lanes.count):
            below = builder.fcmp_ordered("<", lanes.load(address, k), bound)
            part = builder.zext(builder.bitcast(below, ir.IntType(lanes.count)), WORD)
            bits = builder.or_(bits, builder.shl(part, WORD(k * lanes.count)))
        return bits

    return types.uint64(types.int64, limit), generate


@intrinsic
def ones(typing_context, bits):
    """Number of bits of a word that are set."""

    def generate(context, builder, signature, values):
        return builder.ctpop(values[0])

    return types.uint64(types.uint64), generate


@intrinsic
def lowest(typing_context, bits):
    """Place of the lowest bit of a word that is set; 64 if there is none."""

    def generate(context, builder, signature, values):
        return builder.cttz(values[0], BOOL(0))

    return types.uint64(types.uint64), generate


@intrinsic
def turn(typing_context, like, source, source_row, target, target_row):
    """Write a square block, one vector wide, transposed; rows are so many bytes apart."""

    def generate(context, builder, signature, values):
        like, source, source_row, target, target_row = values
        lanes = Lanes(builder, like.type)

        def row(matrix, size, k):
            return builder.add(matrix, builder.mul(size, WORD(k)))

        block = range(lanes.count)
        rows = [lanes.load(row(source, source_row, k), 0) for k in block]
        for k, column in enumerate(lanes.transposed(rows)):
            lanes.store(column, row(target, target_row, k), 0)
        return context.get_dummy_value()

    word = types.int64
    return types.void(like, *[word] * 4), generate
