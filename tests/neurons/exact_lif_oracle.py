"""Oracles of ExactLIF that share no formula with it: a sum over all spikes, and differences."""

import numpy as np
import torch

INF = float("inf")
RATIOS = [1 / 3, 1.0, 1.001, 2.0, 3.0, 4.0, INF]


def kernel(s, tau_mem, tau_syn):
    """Potential of one unit of weight, the textbook form."""
    s = np.maximum(s, 0.0)
    if np.isinf(tau_mem):
        return tau_syn * -np.expm1(-s / tau_syn)
    if tau_mem == tau_syn:
        return s * np.exp(-s / tau_mem)
    scale = tau_mem * tau_syn / (tau_mem - tau_syn)
    return scale * (np.exp(-s / tau_mem) - np.exp(-s / tau_syn))


def potential(t, times, weights, fired, tau_mem, tau_syn, threshold):
    """Potential at ``t [..., G]`` as a sum over all inputs and all own spikes before ``t``."""
    v = np.zeros(t.shape)
    for i in range(times.shape[-1]):
        arrived = np.where(np.isfinite(times[..., i : i + 1]), times[..., i : i + 1], 1e9)
        v += weights[..., i : i + 1] * kernel(t - arrived, tau_mem, tau_syn)
    for k in range(fired.shape[-1]):
        since = t - fired[..., k : k + 1]
        after = since > 0
        leak = np.exp(-np.where(after & np.isfinite(since), since, 0.0) / tau_mem)
        v -= threshold * np.where(after, leak, 0.0)
    return v


LEVELS = 5


def stencil(step):
    """Steps of the differences that :func:`ridders` extrapolates."""
    return [sign * step / 2**a for a in range(LEVELS) for sign in (1, -1)]


def ridders(values, step):
    """Derivative from central differences of falling steps, extrapolated to step 0.

    ``values [2 L, ...]`` are those of the stencil; NaN where a difference is not allowed.
    """
    best, error, before = None, None, None
    for a in range(LEVELS):
        row = [(values[2 * a] - values[2 * a + 1]) / (2 * step / 2**a)]
        for m in range(1, a + 1):
            row.append(row[m - 1] + (row[m - 1] - before[m - 1]) / (4**m - 1))
            spread = np.maximum(abs(row[m] - row[m - 1]), abs(row[m] - before[m - 1]))
            if error is None:
                best, error = row[m], spread
            closer = spread < error
            best, error = np.where(closer, row[m], best), np.where(closer, spread, error)
        before = row
    return best


def value(times, coefficients, inputs):
    """Random sum over all spikes, and a number that changes with the order of events.

    Where an input moves past a spike, the spike's time has a kink: a difference across it is none.
    """
    fired = torch.isfinite(times)
    before = (inputs.unsqueeze(-2) < times.unsqueeze(-1)) & fired.unsqueeze(-1)
    order = 1000 * fired.sum(-1) + before.sum((-2, -1))
    return (times.where(fired, times.new_zeros(())) * coefficients).sum(-1), order
