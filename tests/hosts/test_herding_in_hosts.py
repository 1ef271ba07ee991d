"""A ReLU network, its spiking twin, and the same units in the loops of both hosts."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

STEPS = 23


@pytest.fixture
def model():
    layers = nn.Linear(9, 14), nn.ReLU(), nn.Linear(14, 11), nn.ReLU(), nn.Linear(11, 4)
    for layer in layers[::2]:
        nn.init.normal_(layer.weight, 0.05, 1.4 / layer.in_features**0.5)
        nn.init.uniform_(layer.bias, -0.3, 0.7)
    return nn.Sequential(*layers).double()


@pytest.fixture
def x():
    return 1.7 * torch.rand(6, 9).double() - 0.4


def with_gradients(out, model):
    torch.manual_seed(4)
    weights = torch.randn(out.shape, dtype=out.dtype)
    return [out.detach(), *torch.autograd.grad(out, list(model.parameters()), weights)]


def assert_same(found, model, x, steps=STEPS):
    want = stp.to_spiking(model, steps)(x)
    for a, b in zip(with_gradients(found, model), with_gradients(want, model), strict=True):
        assert a.any()
        torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_loop_of_snntorch_is_the_twin(model, x, hidden):
    pytest.importorskip("snntorch")
    from snntorch import utils

    from snn_temporal_plugins.frontends import snntorch as front_end

    units = front_end.HerdingQuantizer, front_end.HerdingReLU, front_end.HerdingReLU
    units = [unit(init_hidden=hidden) for unit in units]
    for _ in range(2):  # the second time, after a reset
        utils.reset(nn.Sequential(*units))
        states, total = [(), (), ()], 0.0
        for _ in range(STEPS):
            out = x
            for k, unit in enumerate(units):
                got = unit(out, *states[k])
                out, states[k] = (got, ()) if hidden else (got[0], got[1:])
                out = model[2 * k](out)
            total = total + out
        assert_same(total / STEPS, model, x)


@pytest.mark.parametrize("cells", ["", "Cell"])
def test_a_sequence_of_norse_is_the_twin(model, x, cells):
    pytest.importorskip("norse")
    from norse.torch import Lift, SequentialState

    from snn_temporal_plugins.frontends import norse as front_end

    classes = ("HerdingQuantizer", "HerdingReLU", "HerdingReLU")
    units = [getattr(front_end, name + cells)() for name in classes]
    pairs = zip(units, model[::2], strict=True)
    network = SequentialState(*(module for pair in pairs for module in pair))
    if cells:
        network = Lift(network)
    out, _ = network(x.expand(STEPS, -1, -1))
    assert_same(out.mean(0), model, x)


def test_the_twin_is_a_plain_module_in_networks_of_both_hosts(model, x):
    """Its state lives inside a call, so that a host has nothing to carry or to reset."""
    snn = pytest.importorskip("snntorch")
    pytest.importorskip("norse")
    from norse.torch import LIFBoxCell, SequentialState

    spiking = stp.to_spiking(model, STEPS)
    want = spiking(x)
    assert_same(nn.Sequential(spiking)(x), model, x)
    readout = snn.Leaky(0.8, reset_mechanism="none")
    _, mem = readout(spiking(x), torch.zeros_like(want))
    torch.testing.assert_close(mem, want)
    network = SequentialState(spiking, LIFBoxCell()).double()
    _, state = network(x)
    alone, _ = LIFBoxCell()(want)
    assert state[0] is None
    torch.testing.assert_close(network(x)[0], alone)
