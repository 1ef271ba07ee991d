"""Event-driven loops of the convolutional single-spike layer, compiled by numba.

The events of a sample are sorted once and each is handed on, in time order, to the output
positions it acts on; there the fully connected loops take over, with the kernel's taps as inputs.

All images have their channels last, so that what one position needs lies together: a position
``p`` is ``row * W' + column``, a tap ``(row, column, channel)`` in one. ``geometry`` is ``(H, W,
W', kernel height and width, strides, padding at the top and the left, dilations)``.
"""

from __future__ import annotations

import numpy as np

from ..common.cpu import aligned, jit
from ..common.events import sort_buffers, sort_events
from ..integrate.cpu import copy, room, solve
from ..single_spike.cpu import carry, share


@jit
def reach(size, count, kernel, stride, before, dilation):
    """Output row that each of ``size`` input rows reaches through each kernel row; -1 for none.

    The same for columns. ``count`` is the number of output rows, ``before`` the padding.
    """
    reached = np.empty((size, kernel), np.int64)
    for y in range(size):
        for i in range(kernel):
            row, between = divmod(y + before - i * dilation, stride)
            reached[y, i] = row if between == 0 and 0 <= row < count else -1
    return reached


@jit
def spread(events, times, rows, columns, across, queues, lengths, arrivals):
    """Hand each event to the positions whose patch holds it.

    ``queues [P, R]`` gets the taps of each position in time order, ``lengths [P]`` their number
    and ``arrivals [P, R]`` the time of each tap; ``rows`` and ``columns`` come from :func:`reach`.
    """
    lengths[:] = 0
    tall, wide = rows.shape[1], columns.shape[1]
    channels = times.size // (len(rows) * len(columns))
    for r in range(events.size):
        pixel, channel = divmod(np.int64(events[r]), channels)
        y, x = divmod(pixel, len(columns))
        t = times[events[r]]
        for i in range(tall):
            if rows[y, i] < 0:
                continue
            for j in range(wide):
                if columns[x, j] < 0:
                    continue
                p, tap = rows[y, i] * across + columns[x, j], (i * wide + j) * channels + channel
                queues[p, lengths[p]] = tap
                lengths[p] += 1
                arrivals[p, tap] = t


@jit
def forward(
    times, bits, rows, bias, threshold, delay, limit, geometry, out, potential, until, peak,
    peak_time, first, last,
):  # fmt: skip
    """Results ``[B, P, O]`` of the samples of a block, from ``times [B, H * W * C]``."""
    height, width, across, tall, wide, sy, sx, top, left, dy, dx = geometry
    positions, with_peaks = out.shape[1], peak.size > 0
    down = reach(height, positions // across, tall, sy, top, dy)
    along = reach(width, across, wide, sx, left, dx)
    buffers = sort_buffers(times.shape[1], bits)
    queues = np.empty((positions, rows.shape[0] - 1), np.uint32)
    arrivals = np.empty(queues.shape, times.dtype)
    lengths = np.empty(positions, np.int64)
    workspace = room(rows, rows.shape[0] - 1)
    for b in range(first, last):
        events = sort_events(times[b], bits[b], limit, buffers)
        spread(events, times[b], down, along, across, queues, lengths, arrivals)
        for p in range(positions):
            queue, at = queues[p, : lengths[p]], arrivals[p]
            constants = threshold, delay, limit, with_peaks
            result = out[b, p], potential[b, p], until[b, p]
            solve(queue, at, rows, bias, *constants, workspace, *result)
            if with_peaks:
                copy(workspace[0][3], peak[b, p])
                copy(workspace[0][4], peak_time[b, p])


@jit
def taps(p, y, x, geometry, channels):
    """Where the channels of one kernel row and column start in the image; -1: outside."""
    height, width, across = geometry[:3]
    sy, sx, top, left, dy, dx = geometry[5:]
    row = p // across * sy - top + y * dy
    column = p % across * sx - left + x * dx
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return (row * width + column) * channels if inside else -1


@jit
def gather(times, p, geometry, channels, patch):
    """Spike times of the inputs of one position; what lies outside the image never fires."""
    tall, wide = geometry[3], geometry[4]
    for i in range(tall):
        for j in range(wide):
            here, start = (i * wide + j) * channels, taps(p, i, j, geometry, channels)
            for c in range(channels):
                patch[here + c] = times[start + c] if start >= 0 else np.inf


@jit
def scatter(errors, p, geometry, channels, gradient):
    """Add the errors of the taps of one position to those of the inputs."""
    tall, wide = geometry[3], geometry[4]
    for i in range(tall):
        for j in range(wide):
            here, start = (i * wide + j) * channels, taps(p, i, j, geometry, channels)
            if start >= 0:
                for c in range(channels):
                    gradient[start + c] += errors[here + c]


@jit
def collect(error, peak, threshold, width, neurons, deltas):
    """Neurons of one position with an error on the potential, the errors, and their number.

    With a ``peak`` the error is one on spike times, and passes the triangular gate.
    """
    n, one = 0, error.dtype.type(1)
    for o in range(error.size):
        delta = error[o]
        if delta != 0 and peak.size:
            delta *= min(abs(peak[o] - threshold) / width, one) - one
        neurons[n], deltas[n] = o, delta
        n += delta != 0
    return n


@jit
def backward(
    times, until, error, peak, threshold, width, silent, weight, beta, geometry, grad_times,
    grad_weight, grad_bias, first, last,
):  # fmt: skip
    """Gradients of the input times and, chunk of samples by chunk, of weights and bias.

    ``until``, ``error`` and ``peak`` are ``[B, P, O]`` (``peak`` may be empty), ``weight [O, R']``
    is padded to whole vectors. ``grad_weight [N, O, R']`` and ``grad_bias [N, O]`` hold one sum
    for each of N chunks; ``grad_times [B, H * W * C]`` and ``grad_weight`` may be empty.
    """
    chunks, outputs = grad_bias.shape
    channels = times.shape[1] // (geometry[0] * geometry[1])
    patch, carried = aligned(weight.shape[1], times), aligned(weight.shape[1], times)
    patch[:] = np.inf
    neurons, deltas = np.empty(outputs + 1, np.int64), np.empty(outputs + 1, times.dtype)
    one = times.dtype.type(1)
    for chunk in range(first, last):
        grad_weight[chunk] = 0
        grad_bias[chunk] = 0
        for b in range(len(times) * chunk // chunks, len(times) * (chunk + 1) // chunks):
            if grad_times.size:
                grad_times[b] = 0
            for p in range(error.shape[1]):
                n = collect(error[b, p], peak[b, p], threshold, width, neurons, deltas)
                if n == 0:
                    continue
                gather(times[b], p, geometry, channels, patch)
                carried[:] = 0
                for k in range(n):
                    o, delta = neurons[k], deltas[k]
                    at = until[b, p, o]
                    grad_bias[chunk, o] += delta * (at + one)
                    if grad_weight.size:
                        share(grad_weight[chunk, o], patch, at, delta)
                    if grad_times.size:
                        carry(carried, patch, at, silent, delta, weight[o], beta)
                if grad_times.size:
                    scatter(carried, p, geometry, channels, grad_times[b])
