"""TSSLLIF in both hosts: their loops are the sequence, and stock neurons fire the same spikes."""

import pickle

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

T, TAU_M, TAU_S, THRESHOLD = 12, 4.5, 2.5, 0.8


def neuron(output="psc"):
    return stp.TSSLLIF(TAU_M, TAU_S, THRESHOLD, output=output)


def weight_gradients(layer, out):
    torch.manual_seed(4)
    return [
        out.detach(),
        *torch.autograd.grad(out, list(layer.parameters()), torch.randn(out.shape)),
    ]


def reference(layer, x, output):
    return weight_gradients(layer, neuron(output)(layer(x))[0])


@pytest.fixture
def layer():
    layer = nn.Linear(9, 14, bias=False)
    nn.init.normal_(layer.weight, 0.05, 0.6)
    return layer


@pytest.mark.parametrize("output", ["psc", "spikes"])
@pytest.mark.parametrize("hidden", [False, True])
def test_a_loop_of_snntorch_is_the_sequence(layer, output, hidden):
    pytest.importorskip("snntorch")
    from snntorch import utils

    from snn_temporal_plugins.frontends import snntorch as front_end

    x = 1.5 * torch.rand(T, 3, 9)
    unit = front_end.TSSLLIF(
        TAU_M, TAU_S, THRESHOLD, init_hidden=hidden, **({"neuron_output": output})
    )
    unit = pickle.loads(pickle.dumps(unit))
    utils.reset(nn.Sequential(unit))
    outs, states = [], []
    for row in x:
        got = unit(layer(row), *states)
        out, states = (got, []) if hidden else (got[0], got[1:])
        outs.append(out)
    if not hidden:
        assert len(states) == len(neuron(output).State._fields)
    for a, b in zip(
        weight_gradients(layer, torch.stack(outs)), reference(layer, x, output), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("output", ["psc", "spikes"])
@pytest.mark.parametrize("kind", ["sequence", "cell"])
def test_norse_is_the_sequence(layer, output, kind):
    pytest.importorskip("norse")
    from norse.torch import SequentialState

    from snn_temporal_plugins.frontends import norse as front_end

    x = 1.5 * torch.rand(T, 3, 9)
    if kind == "sequence":
        model = SequentialState(layer, front_end.TSSLLIF(TAU_M, TAU_S, THRESHOLD, output=output))
        out, state = model(x)
        assert state[1]._fields == neuron(output).State._fields
    else:
        model = SequentialState(
            layer, front_end.TSSLLIFCell(TAU_M, TAU_S, THRESHOLD, output=output)
        )
        outs, state = [], None
        for row in x:
            out, state = model(row, state)
            outs.append(out)
        out = torch.stack(outs)
    for a, b in zip(weight_gradients(layer, out), reference(layer, x, output), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def run_stock(module, kind, current):
    """Spikes of a stock neuron on currents ``[T, B, N]``."""
    if kind == "norse.LIF":
        return module(current)[0]
    spikes, state = [], ()
    for row in current:
        if kind.startswith("norse"):
            spike, *state = module(row, *state)
        else:
            spike, *state = module(row, *state)
        spikes.append(spike)
    return torch.stack(spikes)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "kind",
    ["snntorch.Leaky", "snntorch.Synaptic", "norse.LIF", "norse.LIFCell", "norse.LIFBoxCell"],
)
def test_stock_neurons_fire_identical_spikes(layer, kind, seed):
    pytest.importorskip(kind.partition(".")[0])
    from snn_temporal_plugins.frontends.stock import KINDS, to_stock

    torch.manual_seed(seed)
    spikes = (torch.rand(40, 6, 9) < 0.4).float()
    filtered = KINDS[kind] == "psc"
    current = layer(stp.PSC(TAU_S)(spikes) if filtered else spikes).detach()
    unit = neuron("spikes" if not filtered else "psc")
    want, _ = unit(current)
    if filtered:  # a spike raises the PSC
        want = (want > torch.cat([torch.zeros_like(want[:1]), want[:-1]])).float()
    module, gain = to_stock(unit, kind)
    got = run_stock(module, kind, gain * current)
    assert 0.03 < want.mean() < 0.5
    assert torch.equal(got, want)


def test_the_default_of_synaptic_would_lose_spikes(layer):
    """Why ``reset_delay=False``: a reset that also wipes out the next input."""
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(3)
    current = layer((torch.rand(40, 6, 9) < 0.4).float()).detach()
    want, _ = neuron("spikes")(current)
    decays = 1 - 1 / TAU_S, 1 - 1 / TAU_M
    stock = snn.Synaptic(*decays, threshold=THRESHOLD, reset_mechanism="zero")
    assert (run_stock(stock, "snntorch", current / TAU_S) != want).any()


def test_options_reach_the_stock_neuron_and_bad_kinds_do_not():
    pytest.importorskip("snntorch")
    from snn_temporal_plugins.frontends.stock import to_stock

    module, _ = to_stock(neuron(), "snntorch.Leaky", spike_grad=stp.surrogates.tssl(0.3))
    assert module.spike_grad == stp.surrogates.tssl(0.3)
    with pytest.raises(ValueError, match="to_stock: kind must be one of 'snntorch.Leaky'"):
        to_stock(neuron(), "snntorch.Lapicque")
    with pytest.raises(ValueError, match="to_stock: dt must be positive"):
        to_stock(neuron(), "norse.LIF", dt=0.0)
