"""surrogates.tssl: a step function with the slope of a sigmoid, for stock neurons."""

import copy
import math
import pickle

import pytest
import torch

import snn_temporal_plugins as stp


def slope(x, width):
    x = torch.as_tensor(x).double().requires_grad_()
    stp.surrogates.tssl(width)(x).sum().backward()
    return x.grad


def test_forward_is_a_strict_step():
    x = torch.tensor([-0.2, 0.0, 1e-9, 5.0])
    assert stp.surrogates.tssl()(x).tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("width", [0.2, 0.7])
def test_slope_is_that_of_a_sigmoid(width):
    x = torch.linspace(-7 * width, 7 * width, 29).double()
    for value, got in zip(x.tolist(), slope(x, width).tolist(), strict=True):
        s = 1 / (1 + math.exp(-value / width))
        assert math.isclose(got, s * (1 - s) / width, rel_tol=1e-9)


def test_slope_has_a_floor_and_never_is_nan():
    far = slope([-1e30, -90.0, 90.0, 1e30], 0.2)
    floor = math.exp(-8) / (1 + math.exp(-8)) ** 2 / 0.2
    torch.testing.assert_close(far, torch.full((4,), floor).double())


def test_it_pickles_copies_and_compares():
    function = stp.surrogates.tssl(0.3)
    assert pickle.loads(pickle.dumps(function)) == copy.deepcopy(function) == function
    assert function != stp.surrogates.tssl(0.4) and function != 0.3
    assert len({function, stp.surrogates.tssl(0.3)}) == 1
    assert repr(function) == "surrogates.tssl(width=0.3)"


def test_it_is_a_plug_in():
    assert stp.get("surrogate", "tssl")(0.3) == stp.surrogates.tssl(0.3)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_bad_widths(value):
    with pytest.raises(ValueError, match="width must be positive"):
        stp.surrogates.tssl(value)
    with pytest.raises(ValueError, match="alpha must be positive"):
        stp.surrogates.tssl()(torch.zeros(2), value)


def test_spike_grad_of_snntorch_with_its_own_membrane_path():
    """Leaky with our surrogate is BPTT by hand: h G + leak, reset detached."""
    snn = pytest.importorskip("snntorch")
    tau = 4.0
    leaky = snn.Leaky(1 - 1 / tau, reset_mechanism="zero", spike_grad=stp.surrogates.tssl(0.3))
    x = torch.randn(6, 5).requires_grad_()
    mem, spikes = torch.zeros(5), []
    for row in x.unbind(0):
        spike, mem = leaky(row, mem)
        spikes.append(spike)
    g = torch.randn(6, 5)
    (grad,) = torch.autograd.grad(torch.stack(spikes), x, g)
    u, carry = torch.zeros(5), torch.zeros(5)
    us, before = [], torch.zeros(5)
    for row in x.detach():
        u = (1 - 1 / tau) * before + row
        before = u * (u <= 1)
        us.append(u)
    for t in reversed(range(6)):
        s = torch.sigmoid(((us[t] - 1) / 0.3).clamp(-8, 8))
        carry = s * (1 - s) / 0.3 * g[t] + (1 - 1 / tau) * carry * (us[t] <= 1)
        torch.testing.assert_close(grad[t], carry, atol=1e-5, rtol=1e-4)


def test_called_like_a_threshold_function_of_norse():
    """``superspike_fn(x, alpha)`` and its like: the second argument is a sharpness."""
    x = torch.tensor([-0.1, 0.2], requires_grad=True)
    stp.surrogates.tssl()(x, 2.5).sum().backward()
    torch.testing.assert_close(x.grad.double(), slope([-0.1, 0.2], 0.4), atol=1e-6, rtol=0)
