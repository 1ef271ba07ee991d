"""Event-driven loops of the single-spike integrate-and-fire layer, compiled by numba.

Every function works on plain arrays and on one block (of samples or of output neurons), so that
blocks can run on several threads and every sum keeps its order whatever their number.
"""

from __future__ import annotations

from ..common.cpu import choose, inlined, jit, sort_buffers, sort_events
from ..integrate.cpu import copy, room, solve


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
    state = room(rows)
    for b in range(first, last):
        events = sort_events(times[b], bits[b], limit, buffers)
        constants = threshold, delay, limit, with_peaks
        result = out[b], potential[b], until[b]
        solve(events, times[b], rows, bias, *constants, state, *result)
        if with_peaks:
            copy(state[3], peak[b])
            copy(state[4], peak_time[b])


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
    for start in range(first, last, 8):  # so many rows stay in the cache
        neurons = range(start, min(start + 8, last))
        for j in neurons:
            gradient[j] = 0
        for b in range(len(times)):
            for j in neurons:
                if delta[b, j] != 0:
                    share(gradient[j], times[b], until[b, j], delta[b, j])
