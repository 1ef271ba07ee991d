"""Fused loops of the TSSL-BP neuron and of the PSC filter, compiled by numba.

Arrays are ``[T, N]``, time first. Every function works on one block of columns, in pieces small
enough for the first-level cache, so that each value is read once and written once. The sums of
a column run over time alone: any number of threads gives the same bits.

An empty array in place of a state, or of a gradient on one, stands for zeros; in place of a
result, for one that nobody wants.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from ..common.cpu import fused, inlined, jit

PIECE = 512  # columns


def bell(z):
    """Derivative of the logistic function at ``z``, where ``|z|`` is at most 8."""
    raise NotImplementedError("compiled only")


@overload(bell, jit_options={"error_model": "numpy", "fastmath": {"contract"}})
def _bell(z):
    """In float32 as ``1 / (4 cosh(z/2)^2)`` by a series without branches, which vectorises."""
    if z != types.float32:
        return lambda z: 0.25 / math.cosh(0.5 * z) ** 2
    c1, c2, c3, c4, c5, c6, c7, c8 = (np.float32(1 / math.factorial(2 * k)) for k in range(1, 9))
    quarter, one, two = np.float32(0.25), np.float32(1), np.float32(2)

    def series(z):
        w = (quarter * z) * (quarter * z)
        c = c4 + w * (c5 + w * (c6 + w * (c7 + w * c8)))
        c = one + w * (c1 + w * (c2 + w * (c3 + w * c)))  # cosh(z/4)
        c = two * (c * c) - one
        return quarter / (c * c)

    return series


@inlined
def forward_step(x, scale, v, a, theta_m, theta_s, threshold, psc, spikes, u):
    """Advance one piece by one step, in place of ``v`` and ``a``; what is None is not written."""
    zero, one = v.dtype.type(0), v.dtype.type(1)
    for j in range(x.size):
        potential = v[j] + (scale * x[j] - theta_m * v[j])
        fires = potential > threshold
        spike = one if fires else zero
        a[j] += theta_s * (spike - a[j])
        v[j] = zero if fires else potential
        if psc is not None:
            psc[j] = a[j]
        if spikes is not None:
            spikes[j] = spike
        if u is not None:
            u[j] = potential


@jit
def put(values, low, high, piece):
    """Copy columns ``low ... high - 1`` into a piece."""
    if values.size:
        for j in range(piece.size):
            piece[j] = values[low + j]
    else:
        piece[:] = 0


@jit
def forward(x, scale, v0, a0, theta_m, theta_s, threshold, put_spikes, out, v, a, first, last):
    """Run columns ``first ... last - 1`` over all steps; ``x`` has one row if it is static."""
    for low in range(first, last, PIECE):
        high = min(low + PIECE, last)
        level, trace = v[low:high], a[low:high]
        put(v0, low, high, level)
        put(a0, low, high, trace)
        for t in range(len(out)):
            current, result = x[t if len(x) > 1 else 0, low:high], out[t, low:high]
            constants = theta_m, theta_s, threshold
            if put_spikes:
                forward_step(current, scale[t], level, trace, *constants, None, result, None)
            else:
                forward_step(current, scale[t], level, trace, *constants, result, None, None)


@fused
def backward_step(g, u, before, limit, psc, carry, total, rule, grad):
    """Gradient on the currents of one step; ``carry`` and ``total`` go one step back.

    ``before`` is the potential of the step before, which was reset where it exceeded ``limit``.
    """
    theta, keep_a, threshold, inter, intra, leak, flattest, per_width, silence, far = rule
    zero, one = u.dtype.type(0), u.dtype.type(1)
    for j in range(u.size):
        gathered = g[j] + total[j]
        total[j] = keep_a * gathered
        effect = theta * gathered
        fires = u[j] > threshold
        rest = zero if before[j] > limit else before[j]
        slope = one / max(u[j] - rest, flattest)
        late = carry[j]
        at_spike = slope * (inter * effect + intra * u[j] * late)
        carry[j] = at_spike if fires else leak * late
        z = min(max((u[j] - threshold) * per_width, -far), far)
        fallback = bell(z) * (per_width * effect)
        grad[j] = fallback if psc[j] < silence else carry[j]


@jit
def backward(
    g, x, v0, a0, static, scale, neuron, rule, grad_v, grad_a, grad, grad_v0, grad_a0, first, last
):
    """Gradients of columns ``first ... last - 1``; on a static current their sum.

    The potentials and PSCs of a piece are computed once more, by the constants ``neuron`` of
    the forward pass. ``grad_v`` and ``grad_a`` are the gradients on the last state, ``grad_v0``
    and ``grad_a0`` become those on the first.
    """
    theta_m, theta_s, threshold = neuron
    keep_v, everywhere = x.dtype.type(1) - theta_m, x.dtype.type(np.inf)
    steps = len(g)
    u, psc = np.empty((steps, PIECE), x.dtype), np.empty((steps, PIECE), x.dtype)
    pieces = np.empty((6, PIECE), x.dtype)
    for low in range(first, last, PIECE):
        high = min(low + PIECE, last)
        n = high - low
        v, a, start = pieces[0, :n], pieces[1, :n], pieces[2, :n]
        carry, total, piece = pieces[3, :n], pieces[4, :n], pieces[5, :n]
        put(v0, low, high, start)
        put(a0, low, high, a)
        put(grad_v, low, high, carry)
        put(grad_a, low, high, total)
        for j in range(n):
            v[j] = start[j]
        for t in range(steps):
            current = x[0 if static else t, low:high]
            forward_step(
                current, scale[t], v, a, theta_m, theta_s, threshold, psc[t, :n], None, u[t, :n]
            )
        for j in range(n):
            carry[j] /= keep_v
        if static:
            grad[0, low:high] = 0
        for t in range(steps - 1, -1, -1):
            target = piece if static else grad[t, low:high]
            backward_step(
                g[t, low:high],
                u[t, :n],
                u[t - 1, :n] if t else start,
                threshold if t else everywhere,
                psc[t, :n],
                carry,
                total,
                rule,
                target,
            )
            if static:
                gathered = grad[0, low:high]
                for j in range(n):
                    gathered[j] += scale[t] * target[j]
        if grad_v0.size:
            for j in range(n):
                grad_v0[low + j] = carry[j] * keep_v
            for j in range(n):
                grad_a0[low + j] = total[j]


@jit
def filter_step(x, a, theta, out):
    """One step of the PSC filter on one piece, in place of ``a``."""
    for j in range(x.size):
        a[j] += theta * (x[j] - a[j])
        out[j] = a[j]


@jit
def filter_forward(x, theta, a, out, first, last):
    """PSCs of columns ``first ... last - 1``; ``a`` enters as the PSC of the start."""
    for low in range(first, last, PIECE):
        high = min(low + PIECE, last)
        for t in range(len(x)):
            filter_step(x[t, low:high], a[low:high], theta, out[t, low:high])


@jit
def unfilter_step(g, total, theta, keep, grad):
    """One step back of the adjoint of the filter on one piece."""
    for j in range(g.size):
        sum_ = g[j] + total[j]
        grad[j] = theta * sum_
        total[j] = keep * sum_


@jit
def filter_backward(g, theta, keep, total, grad, first, last):
    """Adjoint of the filter; ``total`` enters as zero and leaves as the gradient of the start."""
    for low in range(first, last, PIECE):
        high = min(low + PIECE, last)
        for t in range(len(g) - 1, -1, -1):
            unfilter_step(g[t, low:high], total[low:high], theta, keep, grad[t, low:high])
