"""TSSL-BP: every form equals a literal loop over neurons and steps, in spikes and gradients.

The loop (``tssl_literal.py``) shares no formula with the package: effects are double sums over
steps, one neuron at a time. The rule is no derivative, so finite differences cannot judge it.
"""

import importlib.util
import math

import numpy as np
import pytest
import torch
from torch import nn
from tssl_literal import effect, every_neuron, forward, psc_form, spike_form

import snn_temporal_plugins as stp

TAU_M, TAU_S, THRESHOLD = 4.5, 2.7, 0.83
BASIC = {"tau_m": TAU_M, "tau_s": TAU_S, "threshold": THRESHOLD}
BACKENDS = ["torch"] + ["numba"] * (importlib.util.find_spec("numba") is not None)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 3e-6}
SWITCHES = {
    "rule": {},
    "no inter": {"inter": False},
    "no intra": {"intra": False},
    "no leak": {"leak": False},
    "surrogate only": {"fallback": "always"},
    "no fallback": {"fallback": "never"},
    "early silence": {"silence": 0.21},
}


def neuron(output="psc", backend="torch", **options):
    return stp.TSSLLIF(TAU_M, TAU_S, THRESHOLD, output=output, backend=backend, **options)


def drive(steps, columns, dtype, *, seed=0, gain=1.0):
    """Currents that make some neurons fire often, some never, and some land on the threshold."""
    g = torch.Generator().manual_seed(seed)
    x = gain * torch.randn(steps, columns, generator=g) + gain * torch.linspace(-0.9, 0.6, columns)
    x[0, ::7] = THRESHOLD  # u equals the threshold: no spike
    x[:, 3] = 0.0
    return x.to(dtype)


def close(got, want, dtype):
    """Equal up to the tolerance of the type, relative to the largest entry beyond 1."""
    want = torch.as_tensor(np.array(want, dtype=float))
    scale = max(1.0, want.abs().max().item())
    torch.testing.assert_close(got.detach().double(), want, atol=TOLERANCE[dtype] * scale, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("steps", [5, 30, 100])
@pytest.mark.parametrize("switch", SWITCHES)
def test_psc_form_equals_the_literal_loop(backend, dtype, steps, switch):
    x = drive(steps, 40, dtype).requires_grad_()
    v0 = (0.3 * torch.randn(40)).to(dtype).requires_grad_()
    a0 = (0.2 * torch.rand(40)).to(dtype).requires_grad_()
    g, ends = torch.randn(steps, 40).to(dtype), torch.randn(2, 40).to(dtype)
    out, state = neuron(backend=backend, **SWITCHES[switch])(x, (v0, a0))
    found = torch.autograd.grad([out, *state], [x, v0, a0], [g, *ends])
    number = np.float64 if dtype == torch.float64 else np.float32
    values = (part.detach().numpy() for part in (x, v0, a0, g, *ends))
    trace, v, *grads = every_neuron(psc_form, *values, **BASIC, **SWITCHES[switch], number=number)
    psc = np.array(trace.tolist(), dtype=float)[:, :, 3].T
    assert np.array_equal(out.detach().double().numpy(), psc), "not one bit of difference"
    assert np.array_equal(state.v.detach().double().numpy(), v.astype(float))
    close(found[0].t(), grads[0].tolist(), dtype)
    close(found[1], grads[1].astype(float), dtype)
    close(found[2], grads[2].astype(float), dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("steps", [5, 30, 100])
def test_spike_form_equals_the_literal_loop(backend, dtype, steps):
    x = drive(steps, 40, dtype, gain=2.2).requires_grad_()
    i0, v0 = ((0.3 * torch.randn(40)).to(dtype).requires_grad_() for _ in range(2))
    a0 = (0.2 * torch.rand(40)).to(dtype)
    g, ends = torch.randn(steps, 40).to(dtype), torch.randn(2, 40).to(dtype)
    out, state = neuron("spikes", backend)(x, (i0, v0, a0))
    found = torch.autograd.grad([out, state.i, state.v], [x, i0, v0], [g, *ends])
    number = np.float64 if dtype == torch.float64 else np.float32
    values = (part.detach().numpy() for part in (x, i0, v0, a0, g, *ends))
    trace, _, grad_x, grad_v, grad_i = every_neuron(spike_form, *values, **BASIC, number=number)
    spikes = np.array(trace.tolist(), dtype=float)[:, :, 2].T
    assert np.array_equal(out.detach().double().numpy(), spikes)
    assert 0.05 < spikes.mean() < 0.5, "needs both outcomes"
    close(found[0].t(), grad_x.tolist(), dtype)
    close(found[1], grad_i.astype(float), dtype)
    close(found[2], grad_v.astype(float), dtype)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("output", ["psc", "spikes"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_loop_over_steps_is_the_sequence(backend, output, dtype):
    steps, gain = (30, 0.8) if output == "psc" else (30, 2.0)
    unit, runs = neuron(output, backend), []
    for by_steps in (False, True):
        x = drive(steps, 25, dtype, gain=gain).unsqueeze(1).requires_grad_()
        state = [
            (0.1 * (k + 2) * torch.ones(1, 25)).to(dtype) for k in range(len(unit.State._fields))
        ]
        leaves = [part.requires_grad_() for part in state]
        if by_steps:
            outs, state = [], unit.State(*leaves)
            for current in x.unbind(0):
                out, state = unit.step(current, state)
                outs.append(out)
            out = torch.stack(outs)
        else:
            out, state = unit(x, leaves)
        torch.manual_seed(3)
        results = [out, *state] if output == "psc" else [out, *state[:2]]
        leaves = leaves if output == "psc" else leaves[:2]
        weights = [torch.randn_like(part) for part in results]
        runs.append([*results, *torch.autograd.grad(results, [x, *leaves], weights)])
    for whole, stepped in zip(*runs, strict=True):
        torch.testing.assert_close(stepped, whole, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


def dense_of(conv, height, width):
    """Matrix of a convolution without padding, entry by entry, and where its weights stand."""
    o, c, kh, kw = conv.weight.shape
    rows, columns = height - kh + 1, width - kw + 1
    matrix = np.zeros((o * rows * columns, c * height * width))
    places = []
    for index in np.ndindex(o, rows, columns, c, kh, kw):
        k, y, x, channel, dy, dx = index
        row = (k * rows + y) * columns + x
        column = (channel * height + y + dy) * width + x + dx
        matrix[row, column] = conv.weight[k, channel, dy, dx].item()
        places.append((row, column, (k, channel, dy, dx)))
    return matrix, places


def literal_network(inputs, matrices, g, **constants):
    """PSCs of the last layer and weight gradients of a network in PSC form, for one sample."""
    pscs, traces = [], []
    theta = 1 / constants["tau_s"]
    a, filtered = np.zeros(inputs.shape[1]), []
    for row in inputs:
        a = a + theta * (row - a)
        filtered.append(a)
    pscs.append(np.array(filtered))
    for matrix in matrices:
        x = pscs[-1] @ matrix.T
        runs = [forward(x[:, n], 0.0, 0.0, **constants)[0] for n in range(x.shape[1])]
        pscs.append(np.array([[step[3] for step in run] for run in runs]).T)
        traces.append(np.array([[step[1] for step in run] for run in runs]))
    grads = []
    for matrix, below in zip(matrices[::-1], pscs[-2::-1], strict=True):
        x, zero = below @ matrix.T, np.zeros(len(matrix))
        *_, grad, _, _ = every_neuron(psc_form, x, zero, zero, g, zero, zero, **constants)
        grad = np.array(grad.tolist()).T  # [T, O]
        grads.insert(0, grad.T @ below)
        g = grad @ matrix
    margin = min(abs(u - constants["threshold"]).min() for u in traces)
    return pscs[-1], grads, margin


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("steps", [5, 30, 100])
@pytest.mark.parametrize("kind", ["linear", "conv"])
@pytest.mark.parametrize("output", ["psc", "spikes"])
def test_networks_equal_the_literal_network(backend, dtype, steps, kind, output):
    g = torch.Generator().manual_seed(6)
    first = nn.Linear(36, 20, bias=False) if kind == "linear" else nn.Conv2d(1, 2, 3, bias=False)
    last = nn.Linear(20 if kind == "linear" else 32, 6, bias=False)
    with torch.no_grad():
        first.weight.normal_(0.08, 0.4, generator=g)
        last.weight.normal_(0.15, 0.4, generator=g)
    first, last = first.to(dtype), last.to(dtype)
    spikes = (torch.rand(steps, 1, 36, generator=g) < 0.4).to(dtype)
    error = torch.randn(steps, 1, 6, generator=g).to(dtype)
    a = neuron(output, backend)
    psc = stp.PSC(TAU_S, backend=backend)
    x = spikes if output == "spikes" else psc(spikes)
    x = first(x) if kind == "linear" else first(x.view(steps, 1, 6, 6)).unsqueeze(1)
    hidden, _ = a(x)
    out, _ = a(last(hidden.flatten(2)))
    out = psc(out) if output == "spikes" else out
    found = torch.autograd.grad(out, [first.weight, last.weight], error)
    dense, places = first.weight.detach().double().numpy(), None
    if kind == "conv":
        dense, places = dense_of(first, 6, 6)
    matrices = [dense, last.weight.detach().double().numpy()]
    inputs = spikes[:, 0].double().numpy()
    want, grads, margin = literal_network(inputs, matrices, error[:, 0].double().numpy(), **BASIC)
    assert margin > 1e-6, "else rounding decides about spikes"
    close(out[:, 0], want, dtype)
    close(found[1], grads[1], dtype)
    if places:
        shared = np.zeros(first.weight.shape)
        for row, column, place in places:
            shared[place] += grads[0][row, column]
        grads[0] = shared
    close(found[0], grads[0], dtype)


def test_one_spike_by_hand():
    """tau_m = 4, tau_s = 2, threshold 1: u = 0.5, 1.375 (spike), 0.5; a = 0, 0.5, 0.25."""
    x = torch.tensor([[0.5], [1.0], [0.5]], dtype=torch.float64, requires_grad=True)
    out, state = stp.TSSLLIF(4.0, 2.0, 1.0, backend="torch")(x)
    assert out.flatten().tolist() == [0.0, 0.5, 0.25] and state.v.item() == 0.5
    g = torch.tensor([[3.0], [5.0], [7.0]], dtype=torch.float64)
    (grad,) = torch.autograd.grad(out, x, g)
    # D[2] = 0 (no spike, nothing later); at t = 1, du = 1 - 0.5/4 = 0.875 and
    # G = 5/2 + 7/4
    z = math.exp(-(0.5 - 1.0) / 0.2)
    silent = z / (1 + z) ** 2 / 0.2 * (3 / 2 + 5 / 4 + 7 / 8)
    np.testing.assert_allclose(grad.flatten().tolist(), [silent, 4.25 / 0.875, 0.0], rtol=1e-12)


def test_intra_term_by_hand():
    """Two spikes: the first gets 1/tau_m * u of what the second gets."""
    x = torch.tensor([[1.25], [2.0]], dtype=torch.float64, requires_grad=True)
    out, _ = stp.TSSLLIF(4.0, 2.0, 1.0, backend="torch")(x)
    (grad,) = torch.autograd.grad(out, x, torch.tensor([[0.0], [8.0]], dtype=torch.float64))
    second = 0.5 * 4.0  # 1/du * G, G = 8/2
    assert grad.flatten().tolist() == [0.8 * (2.0 + 0.25 * 1.25 * second), second]


@pytest.mark.parametrize(("tau_syn", "lags"), [(2.0, 3), (3.0, 4), (4.0, 5)])
def test_a_lone_spike_keeps_the_surrogate_away_for_a_few_steps(tau_syn, lags):
    """Specification of the gate: lags 0 ... 2 at tau_syn 2, 0 ... 3 at 3, 0 ... 4 at 4."""
    x = torch.zeros(9, 1, dtype=torch.float64)
    x[0] = 2.5
    x.requires_grad_()
    out, _ = stp.TSSLLIF(5.0, tau_syn, backend="torch")(x)
    (grad,) = torch.autograd.grad(out, x, torch.full_like(out, 2.0))
    assert (grad.flatten() != 0).tolist() == [True] + [False] * (lags - 1) + [True] * (9 - lags)


def test_static_pixels_reach_the_first_weights_as_in_the_authors_program():
    psc = stp.PSC(3.0, backend="torch")(torch.full((5, 1, 1), 1.0, dtype=torch.float64))
    np.testing.assert_allclose(psc.flatten(), [0.3333, 0.5556, 0.7037, 0.8025, 0.8683], atol=5e-5)


@pytest.mark.parametrize(
    ("times", "psc"),
    [(1, [0, 0.3333, 0.5556, 0.7037, 0.8025]), (2, [0, 0.1111, 0.2593, 0.4074, 0.5391])],
)
def test_targets_of_the_authors_program_filtered_once_and_twice(times, psc):
    target = stp.SpikeTrainDistance(3.0, filter_target=times).target_psc(5, torch.zeros(()))
    np.testing.assert_allclose(target, psc, atol=5e-5)


@pytest.mark.parametrize(("times", "plateau"), [(1, 0.7795), (2, 0.2681)])
def test_loss_of_a_silent_output_layer_is_the_plateau_of_the_authors_program(times, plateau):
    loss = stp.SpikeTrainDistance(3.0, filter_target=times)
    silent = torch.zeros(5, 4, 10, dtype=torch.float64)
    assert round(loss(silent, torch.tensor([0, 3, 9, 5])).item(), 4) == plateau


def test_effect_of_the_literal_loop_is_the_filter():
    """The loop itself: its double sum is what a filtered train says."""
    g = np.array([2.0, -3.0, 5.0])
    assert math.isclose(effect(g, 0.0, 1, 4.0), 0.25 * -3.0 + 0.25 * 0.75 * 5.0)
