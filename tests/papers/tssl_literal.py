"""TSSL-BP at the last public state of the authors' program, loop for loop, in plain Python.

Written from the description of the rule: one neuron at a time, indices as in the notes, every sum
written out. Forward values may be computed in float32 (`number=numpy.float32`), so that a
comparison in single precision starts from the same spikes; the backward pass is always float64.
"""

import math

import numpy as np

T_MIN_SLOPE = 8.0


def forward(x, v, a, *, tau_m, tau_s, threshold, number=float):
    """du, u, s, a of every step, and the last v, of one neuron with currents ``x``."""
    one, theta_m, theta_s = number(1), number(1 / tau_m), number(1 / tau_s)
    v, a = number(v), number(a)
    trace = []
    for x_t in x:
        du = number(x_t) - theta_m * v
        u = v + du
        s = number(1) if u > number(threshold) else number(0)
        v = u * (one - s)
        a = a + theta_s * (s - a)
        trace.append((du, u, s, a))
    return trace, v


def effect(g, g_last, t, tau_s):
    """G[t]: effect of one unit of spike in step t on all later PSCs, and on the last one."""
    theta = 1 / tau_s
    eps = [theta * (1 - theta) ** k for k in range(len(g))]
    return sum(eps[m - t] * g[m] for m in range(t, len(g))) + eps[len(g) - 1 - t] * g_last


def backward(trace, effects, carry, *, tau_m, tau_s, threshold, width=0.2, cap=8.0, **switch):
    """Gradient on every current of one neuron, and on the potential of the start.

    ``effects`` holds G[t]; ``carry`` is D of the step after the window.
    """
    theta_m = 1 / tau_m
    silence = switch.get("silence", 1 / (4 * tau_s))
    fallback = switch.get("fallback", "neuron")
    out = [0.0] * len(trace)
    for t in reversed(range(len(trace))):
        du, u, s, a = map(float, trace[t])
        kappa = 0.0
        if s:
            kappa = min(1 / du, cap) if du > 0 else cap
        inter = s * kappa * effects[t] if switch.get("inter", True) else 0.0
        intra = s * kappa * theta_m * u * carry if switch.get("intra", True) else 0.0
        leak = (1 - s) * (1 - theta_m) * carry if switch.get("leak", True) else 0.0
        carry = inter + intra + leak
        z = max(-T_MIN_SLOPE, min(T_MIN_SLOPE, (u - threshold) / width))
        sigma = 1 / (1 + math.exp(-z))
        f = sigma * (1 - sigma) / width
        silent = {"neuron": a < silence, "always": True, "never": False}[fallback]
        out[t] = f * effects[t] if silent else carry
    return out, (1 - theta_m) * carry


def psc_form(x, v0, a0, g, g_v, g_a, **constants):
    """PSCs, spikes and gradients of one neuron that puts out its PSC.

    ``g`` are the gradients on the PSCs, ``g_v`` and ``g_a`` those on the last state.
    """
    switch = dict(constants)
    number = switch.pop("number", float)
    basic = {k: switch[k] for k in ("tau_m", "tau_s", "threshold")}
    trace, v = forward(x, v0, a0, **basic, number=number)
    g = [float(value) for value in g]
    effects = [effect(g, float(g_a), t, basic["tau_s"]) for t in range(len(x))]
    carry = float(g_v) / (1 - 1 / basic["tau_m"])
    grad_x, grad_v = backward(trace, effects, carry, **switch)
    keep = 1 - 1 / basic["tau_s"]
    grad_a = sum(keep ** (m + 1) * g[m] for m in range(len(g))) + keep ** len(g) * float(g_a)
    return trace, v, grad_x, grad_v, grad_a


def spike_form(x, i0, v0, a0, g, g_i, g_v, **constants):
    """The same of one neuron that filters its input and puts out spikes.

    ``g`` are the gradients on the spikes, ``g_i`` and ``g_v`` those on the last state.
    """
    switch = dict(constants)
    number = switch.pop("number", float)
    basic = {k: switch[k] for k in ("tau_m", "tau_s", "threshold")}
    theta = number(1 / basic["tau_s"])
    currents, i = [], number(i0)
    for x_t in x:
        i = i + theta * (number(x_t) - i)
        currents.append(i)
    trace, v = forward(currents, v0, a0, **basic, number=number)
    carry = float(g_v) / (1 - 1 / basic["tau_m"])
    on_current, grad_v = backward(trace, [float(value) for value in g], carry, **switch)
    grad_x = [effect(on_current, float(g_i), t, basic["tau_s"]) for t in range(len(x))]
    keep = 1 - 1 / basic["tau_s"]
    steps = range(len(x))
    grad_i = sum(keep ** (m + 1) * on_current[m] for m in steps) + keep ** len(x) * float(g_i)
    return trace, (i, v), grad_x, grad_v, grad_i


def every_neuron(form, x, *others, **constants):
    """Apply a form to every column of ``x [T, N]``; ``others`` are ``[N]`` or ``[T, N]``."""
    rows = [form(x[:, n], *(o[..., n] for o in others), **constants) for n in range(x.shape[1])]
    return [np.array([row[k] for row in rows], dtype=object) for k in range(len(rows[0]))]
