"""Loops that train a network of herding units by error spikes (see ``cpu`` for the layout)."""

from __future__ import annotations

import numpy as np

from ..common.cpu import jit
from .cpu import (
    ADDITIONS,
    BACKWARD,
    ERRORS,
    PADDED,
    PASSED,
    SIZE,
    UNITS,
    UPDATE,
    find_active,
    forward_step,
    matrix_of,
    units_of,
    work_space,
)
from .queue import FULL, emit_all, sort_queue


@jit
def update_column(matrix, j, change, counts, residue, smooth, rectified, indices, n):
    """Add ``change`` times the inputs of a unit, counts or sums, to its weights; how many."""
    zero, additions = matrix.dtype.type(0), 0
    for r in range(n):
        i = indices[r]
        value = counts[i]
        if smooth:
            value += residue[i]
            if rectified:
                value = max(value, zero)
        if value != zero:
            matrix[i, j] += change * value
            additions += 1
    return additions


@jit
def backward_step(n, active, inputs, everyone, rows, plan, rule, state, space, tally):
    """Carry the ``n`` error spikes of the first queue down to the weights; ``FULL`` or how many.

    An error spike passes where the sum of its unit is not negative. Those of the layer below are
    the signed crossings of ``back``, which counts in quanta.
    """
    event, fractional, smooth, rate, quantum = rule
    phi, count, back, passed, sent_back = state
    queues, patterns, spare = space
    none, floor, one = phi.dtype.type(0), -phi.dtype.type(0.5), phi.dtype.type(1)
    for k in range(plan.shape[1] - 1, 0, -1):
        source, target = (plan.shape[1] - 1 - k) % 2, (plan.shape[1] - k) % 2
        units, signs, _ = queues[source]
        matrix = matrix_of(plan, k, rows)
        residue, counts = units_of(plan, k, phi), units_of(plan, k, count)
        errors = units_of(plan, k, passed)
        residue_in, counts_in = units_of(plan, k - 1, phi), units_of(plan, k - 1, count)
        carried, sent_in = units_of(plan, k - 1, back), units_of(plan, k - 1, sent_back)
        indices, reach = (active, inputs) if k == 1 else (everyone, plan[SIZE, k - 1])
        size = one if k == plan.shape[1] - 1 else quantum  # of one error spike
        change = -rate * size
        tally[ERRORS, k] += n
        sent = np.int64(0)
        for r in range(n):
            j, sign = np.int64(units[r]), signs[r]
            if residue[j] + counts[j] < none:
                signs[r] = none
                continue
            tally[PASSED, k] += 1
            errors[j] += sign
            if k > 1:
                quanta = sign * (size / quantum)
                for i in range(plan[SIZE, k - 1]):
                    carried[i] += quanta * matrix[i, j]
                tally[ADDITIONS, BACKWARD] += plan[SIZE, k - 1]
                if event:
                    before = sent
                    sent = emit_all(carried, sent_in, floor, queues[target], before)
                    if sent == FULL:
                        return FULL
                    if sent - before > 1:
                        sort_queue(queues[target], patterns[target], before, sent, spare)
            if event and fractional:
                tally[ADDITIONS, UPDATE] += update_column(
                    matrix,
                    j,
                    -rate * size * sign,
                    counts_in,
                    residue_in,
                    smooth,
                    k > 1,
                    indices,
                    reach,
                )
        if not event and fractional:  # after all were read
            for r in range(n):
                if signs[r] != none:
                    tally[ADDITIONS, UPDATE] += update_column(
                        matrix,
                        np.int64(units[r]),
                        change * signs[r],
                        counts_in,
                        residue_in,
                        smooth,
                        k > 1,
                        indices,
                        reach,
                    )
        if not event and k > 1:
            sent = emit_all(carried, sent_in, floor, queues[target], sent)
            if sent == FULL:
                return FULL
        n = sent
    return n


@jit
def launch(errors, active, inputs, everyone, rows, plan, rule, state, space, tally):
    """Send the errors of one step, with ``event`` each spike to its end before the next."""
    units, signs, _ = space[0][0]
    one, n = errors.dtype.type(1), np.int64(0)
    single = np.int64(1)  # a literal 1 would be compiled apart
    for j in range(plan[SIZE, -1]):
        for _ in range(np.int64(abs(errors[j]))):
            if n == units.size:
                return FULL
            units[n], signs[n] = j, one if errors[j] > 0 else -one
            if not rule[0]:
                n += 1
                continue
            done = backward_step(
                single, active, inputs, everyone, rows, plan, rule, state, space, tally
            )
            if done == FULL:
                return FULL
    if n == 0:
        return n
    return backward_step(n, active, inputs, everyone, rows, plan, rule, state, space, tally)


@jit
def update_all(active, inputs, everyone, rows, plan, rule, state, tally):
    """Change the weights by the product of what came in and the errors that passed."""
    _, _, smooth, rate, quantum = rule
    phi, count, _, passed, _ = state
    for k in range(1, plan.shape[1]):
        change = -rate if k == plan.shape[1] - 1 else -rate * quantum
        matrix, errors = matrix_of(plan, k, rows), units_of(plan, k, passed)
        residue, counts = units_of(plan, k - 1, phi), units_of(plan, k - 1, count)
        indices, reach = (active, inputs) if k == 1 else (everyone, plan[SIZE, k - 1])
        for j in range(plan[SIZE, k]):
            if errors[j] != 0:
                tally[ADDITIONS, UPDATE] += update_column(
                    matrix, j, change * errors[j], counts, residue, smooth, k > 1, indices, reach
                )


@jit
def alone_on_top(scores, label):
    """Whether a class has the largest score, and no other has the same."""
    rivals = 0
    for j in range(scores.size):
        rivals += scores[j] >= scores[label]
    return rivals == 1


@jit
def train(x, bits, labels, rows, plan, steps, rule, at_end, back, starts, capacity, tally):
    """Learn from the samples one by one, in place; how many were right before, or ``FULL``.

    ``rule`` is ``(event, fractional, smooth, rate, quantum)``. With ``at_end`` the errors of all
    steps are sent after the last one. ``starts`` are the residues that ``back`` starts a sample
    with, in turn; without any it goes on from those of the sample before.
    """
    layers = plan.shape[1] - 1
    space = work_space(rows, bits, capacity)
    units = plan[UNITS, layers] + plan[PADDED, layers]
    phi, count = np.empty(units, rows.dtype), np.empty(units, rows.dtype)
    passed, sent_back = np.empty(units, rows.dtype), np.empty(units, rows.dtype)
    state = phi, count, back, passed, sent_back
    active = np.empty(x.shape[1] + 1, np.int64)
    everyone = np.arange(units)
    outputs = plan[UNITS, layers]
    errors = np.zeros((steps, plan[PADDED, layers]), rows.dtype)
    right = 0
    for b in range(len(x)):
        phi[:], count[:], passed[:], errors[:] = 0, 0, 0, 0
        if len(starts):
            for i in range(units):
                back[i] = starts[b % len(starts), i]
        inputs = find_active(x[b], active)
        for t in range(steps):
            n = forward_step(x[b], active, inputs, rows, plan, rule[0], phi, count, space, tally)
            if n == FULL:
                return FULL
            fired, signs, _ = space[0][layers % 2]
            for r in range(n):
                errors[t, fired[r]] += signs[r]
            errors[t, labels[b]] -= 1
            if not at_end:
                n = launch(
                    errors[t], active, inputs, everyone, rows, plan, rule, state, space, tally
                )
                if n == FULL:
                    return FULL
        for t in range(steps if at_end else 0):
            n = launch(errors[t], active, inputs, everyone, rows, plan, rule, state, space, tally)
            if n == FULL:
                return FULL
        scores = phi[outputs : outputs + plan[SIZE, layers]] + count[outputs:][: plan[SIZE, layers]]
        right += alone_on_top(scores, labels[b])
        if not rule[1]:
            update_all(active, inputs, everyone, rows, plan, rule, state, tally)
    return right
