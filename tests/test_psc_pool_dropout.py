"""PSC filter, sum pooling and row dropout."""

import importlib.util
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.psc import psc_filter

BACKENDS = ["torch"] + ["numba"] * (importlib.util.find_spec("numba") is not None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_filter_is_the_convolution_with_its_kernel(backend):
    spikes = (torch.rand(9, 2, 5) < 0.4).double()
    tau, want = 2.5, torch.zeros(9, 2, 5).double()
    for t in range(9):
        for k in range(t + 1):
            want[t] += (1 - 1 / tau) ** k / tau * spikes[t - k]
    torch.testing.assert_close(stp.PSC(tau, backend=backend)(spikes), want)


@pytest.mark.parametrize("backend", BACKENDS)
def test_filter_has_the_gradient_of_its_derivative(backend):
    x = torch.randn(6, 2, 3).double().requires_grad_()
    start = torch.randn(2, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, a: psc_filter(x, 2.5, a, backend=backend), (x, start))


def test_steps_are_the_sequence():
    psc, spikes, state, outs = stp.PSC(2.5), torch.rand(5, 2, 3), None, []
    for row in spikes:
        state = psc.step(row, state)
        outs.append(state)
    torch.testing.assert_close(torch.stack(outs), psc(spikes))


def test_tau_of_one_is_no_filter():
    spikes = (torch.rand(5, 2, 3) < 0.5).float()
    assert torch.equal(stp.PSC(1.0)(spikes), spikes)


def test_psc_pickles_and_refuses():
    psc = pickle.loads(pickle.dumps(stp.PSC(2.5, backend="torch")))
    assert repr(psc) == "PSC(tau_syn=2.5, backend='torch')"
    with pytest.raises(ValueError, match="PSC: tau_syn must be at least 1"):
        stp.PSC(0.3)
    with pytest.raises(ValueError, match=r"PSC: spikes must have shape \[T, B, ...\]"):
        psc(torch.zeros(3))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sum_pool_is_the_convolution_of_ones(backend, kernel, dtype):
    x = torch.randn(4, 3, 2, 5, 7, dtype=dtype).requires_grad_()  # an odd border is dropped
    ones = torch.full((2, 1, kernel, kernel), 1.3, dtype=dtype)
    want = F.conv2d(x.flatten(0, 1), ones, stride=kernel, groups=2).unflatten(0, (4, 3))
    pool = pickle.loads(pickle.dumps(stp.SumPool2d(kernel, scale=1.3, backend=backend)))
    torch.testing.assert_close(pool(x), want)
    torch.testing.assert_close(pool(x[0]), want[0])
    error = torch.randn_like(want)
    torch.testing.assert_close(
        torch.autograd.grad(pool(x), x, error), torch.autograd.grad(want, x, error)
    )


def test_sum_pool_says_what_it_is():
    assert repr(stp.SumPool2d(backend="torch")) == "SumPool2d(kernel=2, scale=1.1, backend='torch')"


@pytest.mark.skipif(len(BACKENDS) < 2, reason="needs numba")
def test_filter_and_pool_are_compiled_as_one_graph():
    layers = nn.Sequential(stp.PSC(2.5, backend="numba"), stp.SumPool2d(backend="numba"))
    compiled = torch.compile(layers, fullgraph=True, backend="aot_eager")
    results = []
    for run in (layers, compiled):
        x = torch.linspace(-1, 2, 4 * 2 * 3 * 4 * 4).view(4, 2, 3, 4, 4).requires_grad_()
        out = run(x)
        results.append((out, *torch.autograd.grad(out.square().sum(), x)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_sum_pool_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"SumPool2d: expected \[B, C, H, W\]"):
        stp.SumPool2d()(torch.zeros(4, 4))
    with pytest.raises(ValueError, match="scale must be positive"):
        stp.SumPool2d(2, scale=0)


def test_rows_are_dropped_whole_and_for_all_steps():
    dropout = stp.RowDropout(0.4)
    out = dropout(torch.ones(3, 50, 4, 6, 5))
    assert bool((out == out[0]).all() and (out == out[..., :1]).all())
    assert out.unique().tolist() == pytest.approx([0.0, 1 / 0.6])
    rows = out[0, :, :, :, 0]
    assert 0.55 < (rows != 0).float().mean() < 0.65 and not (rows == rows[:, :1, :1]).all()


def test_neurons_of_a_linear_layer_are_dropped_one_by_one():
    out = stp.RowDropout(0.4)(torch.ones(3, 50, 20))
    assert bool((out == out[0]).all()) and not (out[0] == out[0, :, :1]).all()


def test_dropout_does_nothing_in_evaluation_or_with_p_of_zero():
    x = torch.rand(3, 2, 4)
    assert stp.RowDropout(0.4).eval()(x) is x and stp.RowDropout(0.0)(x) is x
    assert repr(stp.RowDropout(0.25)) == "RowDropout(p=0.25)"


def test_dropout_refuses():
    with pytest.raises(ValueError, match="p must be below 1, got 1.0"):
        stp.RowDropout(1.0)
    with pytest.raises(ValueError, match=r"RowDropout: expected \[T, B, N\]"):
        stp.RowDropout()(torch.zeros(3, 2))
