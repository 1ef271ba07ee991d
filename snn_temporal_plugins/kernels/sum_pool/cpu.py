"""Loops of the sum pooling, compiled by numba: torch's own average pooling has no vector form."""

from __future__ import annotations

from ..common.cpu import jit


@jit
def add_rows(rows, kernel, scale, out):
    """Scaled sums of windows from their ``kernel`` rows, joined in ``rows [kernel, W]``."""
    for j in range(out.size):
        total = rows[0, j * kernel]
        for dx in range(1, kernel):
            total += rows[0, j * kernel + dx]
        for dy in range(1, kernel):
            for dx in range(kernel):
                total += rows[dy, j * kernel + dx]
        out[j] = scale * total


@jit
def add_pairs(upper, lower, scale, out):
    """The usual case, windows of 2 x 2."""
    for j in range(out.size):
        total = upper[2 * j] + upper[2 * j + 1] + lower[2 * j] + lower[2 * j + 1]
        out[j] = scale * total


@jit
def forward(x, kernel, scale, out, first, last):
    """Pool images ``first ... last - 1`` of ``x [N, H, W]``."""
    for n in range(first, last):
        for i in range(out.shape[1]):
            if kernel == 2:
                add_pairs(x[n, 2 * i], x[n, 2 * i + 1], scale, out[n, i])
            else:
                add_rows(x[n, i * kernel : (i + 1) * kernel], kernel, scale, out[n, i])


@jit
def spread_pairs(g, scale, upper, lower):
    """Two rows of the gradient of the usual case."""
    for j in range(g.size):
        value = scale * g[j]
        upper[2 * j] = value
        upper[2 * j + 1] = value
        lower[2 * j] = value
        lower[2 * j + 1] = value


@jit
def backward(g, kernel, scale, grad, first, last):
    """Gradients of images ``first ... last - 1``; zero where no window reaches."""
    height, width = g.shape[1:]
    for n in range(first, last):
        grad[n, height * kernel :] = 0
        for i in range(height * kernel):
            grad[n, i, width * kernel :] = 0
        for i in range(height):
            if kernel == 2:
                spread_pairs(g[n, i], scale, grad[n, 2 * i], grad[n, 2 * i + 1])
                continue
            for y in range(i * kernel, (i + 1) * kernel):
                for j in range(width):
                    grad[n, y, j * kernel : (j + 1) * kernel] = scale * g[n, i, j]
