"""Exact gradients of ExactLIF against finite differences, for every parameter and ratio."""

import numpy as np
import pytest
import torch
from exact_lif_oracle import INF, RATIOS, ridders, stencil, value

import snn_temporal_plugins as stp

SPIKES = 12
pytest.importorskip("numba")  # thousands of neurons: the kernel, which equals the reference


def neuron(tau_mem, tau_syn=0.7, threshold=0.4, **options):
    options = {"slope_min": 0.0, "truncation": "ignore", "max_spikes": SPIKES} | options
    return stp.ExactLIF(tau_mem, tau_syn, threshold, **options)


def spikes(unit, times, weight):
    return unit.spike_times(times, weight, backend="numba")[0]


def problems(count, inputs=19):
    g = torch.Generator().manual_seed(7)
    times = 3.1 * torch.rand(count, inputs, generator=g, dtype=torch.float64)
    weight = 0.9 * torch.randn(count, inputs, generator=g, dtype=torch.float64) + 0.3
    return times, weight, torch.randn(SPIKES, generator=g, dtype=torch.float64)


class Probes:
    """Analytic and numeric derivatives; probes across a change of order are dropped.

    A spike appears or vanishes there, or an input moves past one.
    """

    def __init__(self, step):
        self.step, self.analytic, self.numeric, self.dropped = step, [], [], 0

    def add(self, analytic, values, orders, order):
        """``values`` and ``orders [2 L, ...]`` on the stencil, ``order`` in its centre."""
        numeric = ridders(np.where(orders == order, values, np.nan), self.step)
        ok = np.isfinite(numeric)
        self.dropped += int((~ok).sum())
        self.analytic.append(analytic[ok])
        self.numeric.append(numeric[ok])

    def errors(self):
        analytic, numeric = np.concatenate(self.analytic), np.concatenate(self.numeric)
        return abs(analytic - numeric) / np.maximum(1.0, abs(numeric))


def probe_inputs(probes, tau_mem, times, weight, coefficients):
    """Weights as many neurons, input times as many samples: all probes of one problem at once."""
    unit = neuron(tau_mem)
    t, w = times.clone().requires_grad_(), weight.clone().requires_grad_()
    total, order = value(spikes(unit, t[None], w[None])[0, 0], coefficients, times)
    moves = torch.tensor(stencil(probes.step)).double()[:, None, None] * torch.eye(len(times))
    moves = moves.double().flatten(0, 1)
    by_time = value(spikes(unit, times + moves, weight[None])[:, 0], coefficients, times + moves)
    by_weight = value(spikes(unit, times[None], weight + moves)[0], coefficients, times)
    for gradient, found in zip(
        torch.autograd.grad(total, [t, w]), (by_time, by_weight), strict=True
    ):
        values, orders = (x.unflatten(0, (-1, len(times))).numpy() for x in found)
        probes.add(gradient.numpy(), values, orders, int(order))


def probe_constants(probes, tau_mem, times, weight, coefficients):
    """Threshold and time constants, for the diagonal of all problems x all problems."""
    learn = ("threshold", "tau_syn") + (() if tau_mem == INF else ("tau_mem",))
    base = {"tau_mem": tau_mem, "tau_syn": 0.7, "threshold": 0.4}
    unit = neuron(tau_mem, learn=learn).double()
    for name in learn:  # a parameter starts in float32
        getattr(unit, name).data.fill_(base[name])
    out = spikes(unit, times, weight).diagonal().movedim(-1, 0)
    total, order = value(out, coefficients, times)
    for name in learn:
        gradient = [
            torch.autograd.grad(x, getattr(unit, name), retain_graph=True)[0] for x in total
        ]
        found = [
            spikes(neuron(**(base | {name: base[name] + h})), times, weight)
            for h in stencil(probes.step)
        ]
        found = torch.stack([out.diagonal().movedim(-1, 0) for out in found])
        values, orders = value(found, coefficients, times)
        probes.add(torch.stack(gradient).numpy(), values.numpy(), orders.numpy(), order.numpy())


@pytest.mark.parametrize("count", [3, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("tau_mem", [0.7 * ratio for ratio in RATIOS])
def test_every_gradient_is_the_limit_of_differences(tau_mem, count):
    times, weight, coefficients = problems(count)
    probes = Probes(step=2e-4)
    for p in range(count):
        probe_inputs(probes, tau_mem, times[p], weight[p], coefficients)
    probe_constants(probes, tau_mem, times, weight, coefficients)
    errors = probes.errors()
    print(
        f"tau_mem {tau_mem:.3g}: {len(errors)} probes, {probes.dropped} dropped, "
        f"median {np.median(errors):.1e}, worst {errors.max():.1e}"
    )
    assert len(errors) > (1000 if count > 20 else 100)
    assert probes.dropped < 0.1 * len(errors)
    assert np.median(errors) < 1e-8 and errors.max() < 1e-5
