"""Loops of the pooling on first spikes, compiled by numba; images have their channels last."""

from __future__ import annotations

import numpy as np

from ..common.cpu import choose, jit


@jit
def earlier(out, times):
    """Keep the earlier of two times, channel by channel."""
    for c in range(out.size):
        out[c] = min(out[c], times[c])


@jit
def forward(times, kernel, out, first, last):
    """Earliest spikes of the windows of images ``first ... last - 1`` of ``times [B, H, W, C]``."""
    for b in range(first, last):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                out[b, i, j] = np.inf
                for y in range(i * kernel, (i + 1) * kernel):
                    for x in range(j * kernel, (j + 1) * kernel):
                        earlier(out[b, i, j], times[b, y, x])


@jit
def take(times, earliest, error, gradient):
    """Give the error to inputs that are the earliest, unless one before has it."""
    zero = error.dtype.type(0)
    for c in range(error.size):
        share = choose(times[c] == earliest[c], error[c], zero)
        gradient[c] = share
        error[c] -= share


@jit
def backward(times, out, error, kernel, gradient, first, last):
    """Gradients of images ``first ... last - 1``: all of it to the first of the earliest inputs."""
    left = np.empty(times.shape[3], times.dtype)
    for b in range(first, last):
        gradient[b] = 0
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for c in range(left.size):
                    left[c] = error[b, i, j, c]
                for y in range(i * kernel, (i + 1) * kernel):
                    for x in range(j * kernel, (j + 1) * kernel):
                        take(times[b, y, x], out[b, i, j], left, gradient[b, y, x])
