"""ExactLIF in the loops of both hosts, and in place of the hosts' own neurons."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

CONSTANTS = {"tau_mem": 2.6, "tau_syn": 1.3, "threshold": 0.7, "slope_min": 0.0}
STEPS = 17


@pytest.fixture
def current():
    torch.manual_seed(3)
    return (0.8 * torch.randn(STEPS, 3, 5) + 0.4).double().requires_grad_()


def with_gradient(out, current):
    weights = torch.arange(out.numel(), dtype=out.dtype).view(out.shape).cos()
    return out.detach(), *torch.autograd.grad((out * weights).sum(), current)


@pytest.fixture
def wanted(current):
    out, _ = stp.ExactLIF(**CONSTANTS)(current)
    assert out.max() > 1  # several spikes in one step
    return with_gradient(out, current)


@pytest.mark.parametrize("hidden", [False, True])
def test_a_loop_of_snntorch_is_the_sequence(current, wanted, hidden):
    pytest.importorskip("snntorch")
    from snntorch import utils

    from snn_temporal_plugins.frontends import snntorch as front_end

    unit = front_end.ExactLIF(**CONSTANTS, init_hidden=hidden)
    network = nn.Sequential(unit)
    for _ in range(2):  # the second time, after a reset
        utils.reset(network)
        state, outs = (), []
        for x in current:
            got = unit(x, *state)
            out, state = (got, ()) if hidden else (got[0], got[1:])
            outs.append(out)
        for a, b in zip(with_gradient(torch.stack(outs), current), wanted, strict=True):
            torch.testing.assert_close(a, b)
    assert repr(unit).startswith("ExactLIF(tau_mem=2.6, tau_syn=1.3, threshold=0.7")


def test_cell_and_sequence_of_norse_are_the_sequence(current, wanted):
    pytest.importorskip("norse")
    from snn_temporal_plugins.frontends.norse import ExactLIF, ExactLIFCell

    neuron_dt = {"neuron_dt": 1.0}  # dt is norse's, in seconds
    sequence, cell = ExactLIF(**CONSTANTS, **neuron_dt), ExactLIFCell(**CONSTANTS, **neuron_dt)
    state, outs = None, []
    for x in current:
        out, state = cell(x, state)
        outs.append(out)
    for out in (sequence(current)[0], torch.stack(outs)):
        for a, b in zip(with_gradient(out, current), wanted, strict=True):
            torch.testing.assert_close(a, b)
    assert state._fields == ("i", "v", "spikes")


def test_the_potential_of_norse_is_the_limit_of_short_steps():
    norse = pytest.importorskip("norse.torch")
    parameters = norse.LIFParameters(v_th=torch.tensor(1e6))
    core, scale = stp.ExactLIF.from_norse(parameters, dt=1e-5)
    host, ours, theirs = norse.LIFCell(parameters, dt=1e-5), None, None
    for t in range(400):
        x = torch.full((1, 1), 1.0 * (t % 90 == 0))
        ours = core.initial_state(x) if ours is None else ours
        _, ours = core.step(scale * x, ours)
        _, theirs = host(x, theirs)
    assert ours.v.item() == pytest.approx(theirs.v.item(), rel=0.01)
    assert ours.v > 0.1


def test_it_takes_the_place_of_synaptic():
    snn = pytest.importorskip("snntorch")
    host = snn.Synaptic(0.9, 0.8, threshold=0.6, init_hidden=True)
    net = nn.Sequential(nn.Linear(6, 4, bias=False), host)
    swapped = stp.swap(net, {snn.Synaptic: "exact_lif"}, tau_mem=4.0, tau_syn=2.0)
    assert swapped[1].core.threshold == pytest.approx(0.6)
    x = 3 * torch.rand(2, 6)
    unit = stp.ExactLIF(4.0, 2.0, 0.6)
    wanted, _ = unit(swapped[0](x)[None])
    torch.testing.assert_close(swapped(x), wanted[0])
