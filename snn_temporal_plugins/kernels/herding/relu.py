"""A dense network of rectifiers, one sample at a time: what the spiking engine is measured by."""

from __future__ import annotations

import numpy as np

from ..common.cpu import jit
from .cpu import SIZE, UNITS, add, find_active, matrix_of, units_of
from .learning import alone_on_top
from .queue import LANES


@jit
def train(x, labels, rows, plan, rate):
    """Stochastic gradient descent on half the squared error, in place; how many were right before.

    Inputs and activations that are zero are skipped, forward and backward. The output is
    rectified, too, as that of the spiking network is.
    """
    layers = plan.shape[1] - 1
    units = plan[UNITS, layers] + plan[SIZE, layers] + -plan[SIZE, layers] % LANES
    value, delta = np.empty(units, rows.dtype), np.empty(units, rows.dtype)
    active = np.empty((layers, units), np.int64)
    counts = np.empty(layers, np.int64)
    zero, right = rows.dtype.type(0), 0
    for b in range(len(x)):
        value[:], delta[:] = 0, 0
        for i in range(x.shape[1]):
            value[i] = x[b, i]
        for k in range(1, layers + 1):
            below, above = units_of(plan, k - 1, value), units_of(plan, k, value)
            matrix = matrix_of(plan, k, rows)
            if k > 1:
                for i in range(below.size):
                    below[i] = max(below[i], zero)
            counts[k - 1] = n = find_active(below[: plan[SIZE, k - 1]], active[k - 1])
            for r in range(n):
                add(above, matrix, active[k - 1, r], below[active[k - 1, r]])
        outputs, error = units_of(plan, layers, value), units_of(plan, layers, delta)
        right += alone_on_top(outputs[: plan[SIZE, layers]], labels[b])
        for j in range(plan[SIZE, layers]):
            if outputs[j] >= zero:
                error[j] = outputs[j] - (j == labels[b])
        for k in range(layers, 0, -1):
            below, matrix = units_of(plan, k - 1, value), matrix_of(plan, k, rows)
            error, carried = units_of(plan, k, delta), units_of(plan, k - 1, delta)
            for r in range(counts[k - 1]):
                i = active[k - 1, r]
                if k > 1:
                    total = zero
                    for j in range(plan[SIZE, k]):
                        total += matrix[i, j] * error[j]
                    carried[i] = total
                change = -rate * below[i]
                for j in range(error.size // LANES * LANES):
                    matrix[i, j] += change * error[j]
    return right
