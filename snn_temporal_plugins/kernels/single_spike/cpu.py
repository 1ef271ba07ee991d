"""Event-driven loops of the single-spike integrate-and-fire layer, compiled by numba.

Every function works on plain arrays and on one block (of samples or of output neurons), so that
blocks can run on several threads and every sum keeps its order whatever their number.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..common.cpu import choose, even_part, inlined, jit, larger
from ..common.events import sort_buffers, sort_events
from ..common.lanes import BYTES
from ..integrate.cpu import copy, room, solve
from .tile import TILE, sum_errors


@jit
def forward(
    times, bits, rows, bias, threshold, delay, limit, out, potential, until, peak, peak_time,
    first, last,
):  # fmt: skip
    """Results ``[B, O]`` of the samples of a block.

    ``rows [I + 1, O']`` holds the weights of each input, padded with zeros; ``bias [O']`` may be
    empty, as may ``peak`` and ``peak_time``.
    """
    with_peaks = peak.size > 0
    buffers = sort_buffers(times.shape[1], bits)
    workspace = room(rows, rows.shape[0] - 1)
    for b in range(first, last):
        events = sort_events(times[b], bits[b], limit, buffers)
        constants = threshold, delay, limit, with_peaks
        result = out[b], potential[b], until[b]
        solve(events, times[b], rows, bias, *constants, workspace, *result)
        if with_peaks:
            copy(workspace[0][3], peak[b])
            copy(workspace[0][4], peak_time[b])


@partial(jit, fastmath={"reassoc"})
def join_errors(on_times, on_potential, peak, threshold, width, length, delta, first, last):
    """Errors ``delta [B, O]`` of potentials, of the samples of a block.

    From the gradients on times and potentials, one of which may be empty; or from those on times
    through the triangular gate around the threshold, where there are peaks. They are scaled to a
    length per sample unless that is zero. A sample without error stays without.
    """
    none, whole = delta.dtype.type(0), delta.dtype.type(1)
    for b in range(first, last):
        if peak.size:
            for j in range(delta.shape[1]):
                passing = larger(whole - abs(peak[b, j] - threshold) / width, none)
                delta[b, j] = -on_times[b, j] * passing
        elif not on_potential.size:
            for j in range(delta.shape[1]):
                delta[b, j] = -on_times[b, j]
        elif not on_times.size:
            for j in range(delta.shape[1]):
                delta[b, j] = on_potential[b, j]
        else:
            for j in range(delta.shape[1]):
                delta[b, j] = on_potential[b, j] - on_times[b, j]
        if length > 0:
            squares = 0.0
            for j in range(delta.shape[1]):
                squares += np.float64(delta[b, j]) * np.float64(delta[b, j])
            scale = delta.dtype.type(length / np.sqrt(squares) if squares > 0 else 0.0)
            for j in range(delta.shape[1]):
                delta[b, j] *= scale


@inlined
def carry(error, times, until, silent, delta, weight, beta):
    """Pass the error of one neuron to its causal inputs, and to those from ``silent`` on."""
    zero = error.dtype.type(0)
    for i in range(times.size):
        reached = (times[i] <= until) | (times[i] >= silent)
        error[i] -= choose(reached, delta * (weight[i] - beta * delta), zero)


@jit
def input_errors(times, until, silent, delta, weight, beta, error, first, last):
    """Gradient ``[B, I]`` of the input times, for the samples of a block."""
    for b in range(first, last):
        error[b] = 0
        for j in range(delta.shape[1]):
            if delta[b, j] != 0:
                carry(error[b], times[b], until[b, j], silent, delta[b, j], weight[j], beta)


@inlined
def share(gradient, times, until, delta):
    """Give the error of one neuron to the weights of its causal inputs."""
    zero = gradient.dtype.type(0)
    for i in range(times.size):
        gradient[i] += choose(times[i] <= until, delta, zero)


@jit
def weight_errors(times, until, delta, gradient, first, last):
    """Gradient ``[O, I]`` of the weights of the neurons of a block, summed over samples in order.

    Scanning all inputs with vectors is quicker than visiting the events of each neuron, for
    which they would have to be sorted once more, unless fewer than one input in twenty is lit.
    """
    samples = np.empty(len(times), np.uint32)
    causes, errors = np.empty(len(times), times.dtype), np.empty(len(times), times.dtype)
    lanes, inputs, item = BYTES // times.itemsize, times.shape[1], times.itemsize
    size = even_part(inputs // lanes, TILE)
    for j in range(first, last):
        n = 0
        for b in range(len(times)):
            samples[n], causes[n], errors[n] = b, until[b, j], delta[b, j]
            n += delta[b, j] != 0
        whole = inputs // lanes * lanes if n else 0
        for i in range(0, whole, size * lanes):
            sum_errors(
                errors[0], min(size, (whole - i) // lanes), samples.ctypes.data, n,
                causes.ctypes.data, errors.ctypes.data, times.ctypes.data + i * item, inputs,
                gradient[j].ctypes.data + i * item,
            )  # fmt: skip
        gradient[j, whole:] = 0
        for r in range(n):
            share(gradient[j, whole:], times[samples[r], whole:], causes[r], errors[r])
