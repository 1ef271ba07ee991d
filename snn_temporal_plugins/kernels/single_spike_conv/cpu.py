"""Event-driven loops of the convolutional single-spike layer, compiled by numba.

The events of a sample are sorted once and each is handed on, in time order, to the output
positions it acts on; there the fully connected loops take over, with the kernel's taps as inputs.
``geometry`` is ``(H, W, W', kernel height and width, strides, padding at the top and the left,
dilations)``; a position ``p`` is ``row * W' + column``, a tap ``(channel, row, column)`` in one.
"""

from __future__ import annotations

import numpy as np

from ..common.cpu import aligned, jit, sort_buffers, sort_events
from ..single_spike.cpu import carry, record, room, share, solve


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
    for r in range(events.size):
        channel, pixel = divmod(np.int64(events[r]), len(rows) * len(columns))
        y, x = divmod(pixel, len(columns))
        t = times[events[r]]
        for i in range(tall):
            if rows[y, i] < 0:
                continue
            for j in range(wide):
                if columns[x, j] < 0:
                    continue
                p, tap = rows[y, i] * across + columns[x, j], (channel * tall + i) * wide + j
                queues[p, lengths[p]] = tap
                lengths[p] += 1
                arrivals[p, tap] = t


@jit
def forward(
    times, bits, rows, bias, threshold, delay, limit, geometry, out, potential, until, peak,
    peak_time, first, last,
):  # fmt: skip
    """Results ``[B, O, P]`` of the samples of a block, from ``times [B, C * H * W]``."""
    height, width, across, tall, wide, sy, sx, top, left, dy, dx = geometry
    outputs, positions = out.shape[1:]
    with_peaks = peak.size > 0
    down = reach(height, positions // across, tall, sy, top, dy)
    along = reach(width, across, wide, sx, left, dx)
    buffers = sort_buffers(times.shape[1], bits)
    queues = np.empty((positions, rows.shape[0] - 1), np.uint32)
    arrivals = np.empty(queues.shape, times.dtype)
    lengths = np.empty(positions, np.int64)
    state = room(rows)
    for b in range(first, last):
        events = sort_events(times[b], bits[b], limit, buffers)
        spread(events, times[b], down, along, across, queues, lengths, arrivals)
        for p in range(positions):
            queue, at = queues[p, : lengths[p]], arrivals[p]
            solve(queue, at, rows, bias, threshold, delay, limit, with_peaks, state, outputs)
            here = out[b, :, p], potential[b, :, p], until[b, :, p]
            record(state, bias, delay, limit, with_peaks, *here)
            if with_peaks:
                peak[b, :, p], peak_time[b, :, p] = state[3, :outputs], state[4, :outputs]


@jit
def gather(times, p, geometry, patch):
    """Spike times of the inputs of one position; what lies outside the image never fires."""
    height, width, across, tall, wide, sy, sx, top, left, dy, dx = geometry
    row, column = divmod(p, across)
    tap = 0
    for channel in range(times.size // (height * width)):
        for i in range(tall):
            y = row * sy - top + i * dy
            for j in range(wide):
                x = column * sx - left + j * dx
                inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
                patch[tap] = times[(channel * height + y) * width + x] if inside else np.inf
                tap += 1


@jit
def scatter(error, p, geometry, gradient):
    """Add the errors of the taps of one position to those of the inputs."""
    height, width, across, tall, wide, sy, sx, top, left, dy, dx = geometry
    row, column = divmod(p, across)
    tap = 0
    for channel in range(gradient.size // (height * width)):
        for i in range(tall):
            y = row * sy - top + i * dy
            for j in range(wide):
                x = column * sx - left + j * dx
                if (y >= 0) & (y < height) & (x >= 0) & (x < width):
                    gradient[(channel * height + y) * width + x] += error[tap]
                tap += 1


@jit
def collect(error, peak, threshold, width, found, starts, neurons, deltas):
    """Errors ``[O, P]`` on the potential that are not zero, position by position.

    With a ``peak`` the error is one on spike times, and passes the triangular gate. ``found`` is
    room for ``(neuron, position)``; position ``p`` owns ``starts[p] ... starts[p + 1] - 1`` of
    ``neurons`` and ``deltas``.
    """
    starts[:] = 0
    n, one, zero = 0, error.dtype.type(1), error.dtype.type(0)
    for o in range(error.shape[0]):
        for p in range(error.shape[1]):
            if error[o, p] == 0:
                continue
            if peak.size and not abs(peak[o, p] - threshold) < width:
                continue
            found[0, n], found[1, n] = o, p
            starts[p + 1] += 1
            n += 1
    for p in range(error.shape[1]):
        starts[p + 1] += starts[p]
    for k in range(n - 1, -1, -1):  # backwards: starts[p + 1] runs down to the start of p
        o, p = found[0, k], found[1, k]
        starts[p + 1] -= 1
        delta = error[o, p]
        if peak.size:
            delta *= -max(one - abs(peak[o, p] - threshold) / width, zero)
        neurons[starts[p + 1]], deltas[starts[p + 1]] = o, delta
    for p in range(error.shape[1]):
        starts[p] = starts[p + 1]
    starts[-1] = n


@jit
def backward(
    times, until, error, peak, threshold, width, silent, weight, beta, geometry, grad_times,
    grad_weight, grad_bias, first, last,
):  # fmt: skip
    """Gradients of the input times and, chunk of samples by chunk, of weights and bias.

    ``until``, ``error`` and ``peak`` are ``[B, O, P]`` (``peak`` may be empty), ``weight [O, R']``
    is padded to whole vectors. ``grad_weight [N, O, R']`` and ``grad_bias [N, O]`` hold one sum
    for each of N chunks; ``grad_times [B, C * H * W]`` and ``grad_weight`` may be empty.
    """
    chunks, outputs = grad_bias.shape
    positions, size = until.shape[2], outputs * until.shape[2]
    patch, carried = aligned(weight.shape[1], times), aligned(weight.shape[1], times)
    patch[:] = np.inf
    found, starts = np.empty((2, size), np.int32), np.empty(positions + 1, np.int64)
    neurons, deltas = np.empty(size, np.int32), np.empty(size, times.dtype)
    one = times.dtype.type(1)
    for chunk in range(first, last):
        grad_weight[chunk] = 0
        grad_bias[chunk] = 0
        for b in range(len(times) * chunk // chunks, len(times) * (chunk + 1) // chunks):
            collect(error[b], peak[b], threshold, width, found, starts, neurons, deltas)
            if grad_times.size:
                grad_times[b] = 0
            for p in range(positions):
                if starts[p] == starts[p + 1]:
                    continue
                gather(times[b], p, geometry, patch)
                carried[:] = 0
                for k in range(starts[p], starts[p + 1]):
                    o, delta = neurons[k], deltas[k]
                    at = until[b, o, p]
                    grad_bias[chunk, o] += delta * (at + one)
                    if grad_weight.size:
                        share(grad_weight[chunk, o], patch, at, delta)
                    if grad_times.size:
                        carry(carried, patch, at, silent, delta, weight[o], beta)
                if grad_times.size:
                    scatter(carried, p, geometry, grad_times[b])
