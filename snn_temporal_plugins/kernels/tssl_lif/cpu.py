"""Fused loops of the TSSL-BP neuron and of the PSC filter, compiled by numba.

Arrays are ``[T, N]``, time first. Every function works on one block of columns, in pieces small
enough for the first-level cache, so that each value is read once and written once. The sums of
a column run over time alone: any number of threads gives the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import overload

from ..common.cpu import jit

PIECE = 1024  # columns


def bell(z):
    """Derivative of the logistic function at ``z``, where ``|z|`` is at most 8."""
    raise NotImplementedError("compiled only")


@overload(bell, jit_options={"error_model": "numpy"})
def _bell(z):
    """In float32 as ``1 / (4 cosh(z/2)^2)`` by a series without branches, which vectorises."""
    if z != types.float32:
        return lambda z: 0.25 / math.cosh(0.5 * z) ** 2
    c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12 = (
        np.float32(1 / math.factorial(2 * k)) for k in range(1, 13)
    )
    quarter, one = np.float32(0.25), np.float32(1)

    def series(z):
        w = quarter * z * z
        c = c8 + w * (c9 + w * (c10 + w * (c11 + w * c12)))
        c = one + w * (c1 + w * (c2 + w * (c3 + w * (c4 + w * (c5 + w * (c6 + w * (c7 + w * c)))))))
        return quarter / (c * c)

    return series


@jit
def forward_step(x, scale, v, a, theta_m, theta_s, threshold, u, spikes, trace):
    """Advance one piece by one step, in place of ``v`` and ``a``."""
    zero, one = v.dtype.type(0), v.dtype.type(1)
    for j in range(x.size):
        potential = v[j] + (scale * x[j] - theta_m * v[j])
        fires = potential > threshold
        spike = one if fires else zero
        psc = a[j] + theta_s * (spike - a[j])
        u[j] = potential
        v[j] = zero if fires else potential
        spikes[j] = spike
        a[j] = psc
        trace[j] = psc


@jit
def forward(
    x,
    scale,
    v0,
    a0,
    theta_m,
    theta_s,
    threshold,
    put_spikes,
    keep,
    out,
    v,
    a,
    u,
    trace,
    first,
    last,
):
    """Run columns ``first ... last - 1`` over all steps; ``x`` has one row if it is static."""
    nowhere = np.empty((2, PIECE), x.dtype)
    for low in range(first, last, PIECE):
        high = min(low + PIECE, last)
        v[low:high] = v0[low:high]
        a[low:high] = a0[low:high]
        for t in range(len(out)):
            result = out[t, low:high]
            unused = nowhere[0, : high - low]
            history = trace[t, low:high] if put_spikes and keep else unused
            forward_step(
                x[t if len(x) > 1 else 0, low:high],
                scale[t],
                v[low:high],
                a[low:high],
                theta_m,
                theta_s,
                threshold,
                u[t, low:high] if keep else nowhere[1, : high - low],
                result if put_spikes else unused,
                history if put_spikes else result,
            )


@jit
def backward_step(g, u, before, limit, psc, carry, total, rule, grad):
    """Gradient on the currents of one step; ``carry`` and ``total`` go one step back.

    ``before`` is the potential of the step before, which was reset where it exceeded ``limit``.
    """
    theta, keep_a, _, threshold, inter, intra, leak, flattest, width, silence, far = rule
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
        z = min(max((u[j] - threshold) / width, -far), far)
        fallback = bell(z) / width * effect
        grad[j] = fallback if psc[j] < silence else carry[j]


@jit
def backward(g, u, psc, v0, static, scale, rule, carry, total, grad, first, last):
    """Gradients of columns ``first ... last - 1``; on a static current their sum.

    ``carry`` and ``total`` enter as the gradients on the last state and leave as those on the
    first.
    """
    keep_v, threshold = rule[2], rule[3]
    everywhere = u.dtype.type(np.inf)
    piece = np.empty(PIECE, u.dtype)
    for low in range(first, last, PIECE):
        high = min(low + PIECE, last)
        for j in range(low, high):
            carry[j] /= keep_v
        if static:
            grad[0, low:high] = 0
        for t in range(len(u) - 1, -1, -1):
            target = piece[: high - low] if static else grad[t, low:high]
            backward_step(
                g[t, low:high],
                u[t, low:high],
                u[t - 1, low:high] if t else v0[low:high],
                threshold if t else everywhere,
                psc[t, low:high],
                carry[low:high],
                total[low:high],
                rule,
                target,
            )
            if static:
                gathered = grad[0, low:high]
                for j in range(target.size):
                    gathered[j] += scale[t] * target[j]
        for j in range(low, high):
            carry[j] *= keep_v


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
