"""Loops of a network of herding units, forward, compiled by numba.

Units of all layers lie in one array, weight rows of all layers in another; ``plan [4, L + 1]``
holds the size of every layer, its size padded to whole vectors, and where its units and the rows
into it start. The running sum of the input of a unit is not stored: it is ``phi + count``.
"""

from __future__ import annotations

import numpy as np

from ..common.cpu import jit
from .queue import FULL, LANES, emit, emit_all, make_queue, sort_queue, sort_space

SIZE, PADDED, UNITS, ROWS = range(4)  # rows of the plan
SPIKES, ERRORS, PASSED, ADDITIONS = range(4)  # rows of the tally; the last holds forward,
FORWARD, BACKWARD, UPDATE = range(3)  # backward and update


@jit
def units_of(plan, k, values):
    """Part of ``values`` that belongs to layer ``k``."""
    return values[plan[UNITS, k] : plan[UNITS, k] + plan[PADDED, k]]


@jit
def matrix_of(plan, k, rows):
    """Weights ``[I, O']`` of the synapses into layer ``k``."""
    width = plan[PADDED, k]
    start = plan[ROWS, k]
    return rows[start : start + plan[SIZE, k - 1] * width].reshape(-1, width)


@jit
def add(v, matrix, i, sign):
    """Let one spike act."""
    for j in range(v.size // LANES * LANES):
        v[j] += sign * matrix[i, j]


@jit
def add_and_test(v, matrix, i, sign):
    """Let one spike act, and tell whether any unit is to fire."""
    half, reached = v.dtype.type(0.5), np.uint32(0)
    for j in range(v.size // LANES * LANES):
        v[j] += sign * matrix[i, j]
        reached |= np.uint32(v[j] > half)
    return reached


@jit
def work_space(rows, bits, capacity):
    """Two queues, their bit patterns, room for sorting."""
    one, other = make_queue(capacity, rows), make_queue(capacity, rows)
    return (
        (one, other),
        (one[2].view(bits.dtype), other[2].view(bits.dtype)),
        sort_space(capacity, rows, bits),
    )


@jit
def find_active(x, active):
    """Indices of the inputs that are not zero; how many."""
    n = 0
    for i in range(x.size):
        active[n] = i
        n += x[i] != 0
    return n


@jit
def forward_step(x, active, inputs, rows, plan, event, phi, count, space, tally):
    """One time step of all layers; returns how many spikes the last one sent, or ``FULL``.

    ``active[:inputs]`` are the inputs that are not zero. With ``event`` thresholds are tested after
    every single spike, and spikes go on in the order of their residues; else after all of a step.
    """
    queues, patterns, spare = space
    layers = plan.shape[1] - 1
    half, n = phi.dtype.type(0.5), np.int64(0)  # a literal 0 would be compiled apart
    never = -phi.dtype.type(np.inf)
    for r in range(inputs):
        i = active[r]
        phi[i] += x[i]
        n = emit(phi, count, i, -half, queues[0], n)
        if n == FULL:
            return FULL
    for k in range(1, layers + 1):
        source, target = (k - 1) % 2, k % 2
        units, signs, _ = queues[source]
        v, sums, matrix = units_of(plan, k, phi), units_of(plan, k, count), matrix_of(plan, k, rows)
        tally[SPIKES, k - 1] += n
        tally[ADDITIONS, FORWARD] += n * plan[SIZE, k]
        sent = np.int64(0)
        if event:
            if k == 1:
                sort_queue(queues[source], patterns[source], np.int64(0), n, spare)
            for r in range(n):
                if add_and_test(v, matrix, units[r], signs[r]):
                    before = sent
                    sent = emit_all(v, sums, never, queues[target], before)
                    if sent == FULL:
                        return FULL
                    if sent - before > 1:
                        sort_queue(queues[target], patterns[target], before, sent, spare)
        else:
            for r in range(n):
                add(v, matrix, units[r], signs[r])
            sent = emit_all(v, sums, never, queues[target], sent)
            if sent == FULL:
                return FULL
        n = sent
    tally[SPIKES, layers] += n
    return n


@jit
def infer(x, bits, rows, plan, steps, event, capacity, scores, spikes, first, last):
    """Mean potential ``scores [B, O]`` and ``spikes [B, L + 1]`` of the samples of a block.

    ``spikes[b, 0]`` is ``FULL`` where a queue was too short.
    """
    layers = plan.shape[1] - 1
    space = work_space(rows, bits, capacity)
    units = plan[UNITS, layers] + plan[PADDED, layers]
    phi, count = np.empty(units, rows.dtype), np.empty(units, rows.dtype)
    active = np.empty(x.shape[1] + 1, np.int64)
    tally = np.empty((4, max(layers + 1, 3)), np.int64)
    outputs = plan[UNITS, layers]
    for b in range(first, last):
        phi[:], count[:], tally[:] = 0, 0, 0
        inputs = find_active(x[b], active)
        for _ in range(steps):
            n = forward_step(x[b], active, inputs, rows, plan, event, phi, count, space, tally)
            if n == FULL:
                break
        for k in range(layers + 1):
            spikes[b, k] = tally[SPIKES, k] if n != FULL else FULL
        for j in range(scores.shape[1]):
            scores[b, j] = (phi[outputs + j] + count[outputs + j]) / steps
