"""Monitors on the hosts' own neurons: one call per step, state inside or outside."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

T = 9


def literal(train):
    """Samples, share of neurons that fired, spikes, dead, of a recorded train [T, B, N]."""
    fired = (train != 0).any(0)
    spikes = int((train != 0).sum())
    return train.shape[1], fired.double().mean().item(), spikes, int((~fired.any(0)).sum())


def figures(layer):
    return layer.samples, pytest.approx(layer.fired), layer.spikes, layer.dead


def sure(train):
    assert 0 < literal(train)[1] < 1  # a train that can tell right from wrong
    return train


class Tutorial(nn.Module):
    """The shape of snnTorch's tutorials: the loop over time is inside, states are explicit."""

    def __init__(self, neuron, detach=False):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 5), nn.Linear(5, 4)
        self.lif1, self.lif2 = neuron(), neuron()
        self.detach = detach

    def forward(self, current):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        trains = [], []
        for x in current:
            spk1, mem1 = self.lif1(self.fc1(x), mem1)
            if self.detach:
                mem1 = mem1.detach()
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            trains[0].append(spk1)
            trains[1].append(spk2)
        return tuple(map(torch.stack, trains))


def hosts_neuron(kind):
    snn = pytest.importorskip("snntorch")
    if kind == "stock":
        return lambda: snn.Leaky(beta=0.7, threshold=0.3)
    from snn_temporal_plugins.frontends.snntorch import SingleSpikeIF

    return lambda: SingleSpikeIF(0.4)


@pytest.mark.parametrize("kind", ["stock", "ours"])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_explicit_states_of_snntorch(kind, detach, grad):
    net = Tutorial(hosts_neuron(kind), detach)
    batches = [torch.rand(T, 8, 6), torch.rand(T, 8, 6), torch.rand(T, 3, 6)]
    with stp.monitor(net) as m, torch.set_grad_enabled(grad):
        trains = [net(batch) for batch in batches]
    for name, parts in zip(("lif1", "lif2"), zip(*trains, strict=True), strict=True):
        train = torch.cat(parts, 1)
        assert figures(m.layers[name]) == literal(train), name
        assert m.layers[name].drivers == (name.replace("lif", "fc"),)
    sure(torch.cat([parts[0] for parts in trains], 1))
    assert m.layers["lif1"].operations == T * 19 * 6 * 5
    assert m.layers["lif2"].operations == m.layers["lif1"].spikes * 4


@pytest.mark.parametrize("kind", ["stock", "ours"])
@pytest.mark.parametrize("rest", ["utils", "reset_", "detach"])
def test_hidden_states_of_snntorch_with_the_loop_outside(kind, rest):
    snn = pytest.importorskip("snntorch")
    if kind == "stock":
        neuron = snn.Leaky(beta=0.7, threshold=0.3, init_hidden=True)
    else:
        from snn_temporal_plugins.frontends.snntorch import SingleSpikeIF

        neuron = SingleSpikeIF(0.4, init_hidden=True)
    net, trains = nn.Sequential(nn.Linear(6, 5), neuron), []
    with stp.monitor(net) as m:
        for batch in (torch.rand(T, 8, 6), torch.rand(T, 8, 6), torch.rand(T, 3, 6)):
            from snntorch import utils

            utils.reset(net) if rest == "utils" else stp.reset_(net)
            steps = []
            for t, x in enumerate(batch):
                steps.append(net(x))
                if rest == "detach" and t == 4:
                    neuron.detach_hidden()  # truncated backpropagation: the samples go on
            trains.append(torch.stack(steps))
    assert figures(m.layers["1"]) == literal(sure(torch.cat(trains, 1)))


def test_one_neuron_may_serve_two_layers():
    snn = pytest.importorskip("snntorch")
    lif, fc1, fc2 = snn.Leaky(beta=0.7, threshold=0.3), nn.Linear(6, 5), nn.Linear(5, 4)
    fc3 = nn.Linear(4, 4)
    net, trains = nn.ModuleList([fc1, lif, fc2, fc3]), ([], [], [])
    with stp.monitor(net) as m:
        mems = [lif.init_leaky() for _ in range(3)]
        for x in torch.rand(T, 8, 6):
            for k, fc in enumerate((fc1, fc2, fc3)):
                x, mems[k] = lif(fc(x), mems[k])
                trains[k].append(x)
    assert figures(m.layers["1"]) == literal(torch.stack(trains[0]))
    both = torch.cat([torch.stack(trains[1]), torch.stack(trains[2])], 1)
    assert figures(m.layers["1[4]"]) == literal(both)


def test_sequences_and_readouts_of_norse():
    norse = pytest.importorskip("norse.torch")
    p = norse.LIFParameters(v_th=torch.as_tensor(0.1))
    net = norse.SequentialState(
        norse.Lift(nn.Linear(6, 5)), norse.LIF(p), norse.Lift(nn.Linear(5, 4)), norse.LI()
    )
    current = torch.rand(30, 8, 6) * 3
    with stp.monitor(net) as m:
        net(current)
    train, _ = net[1](net[0](current))
    assert figures(m.layers["1"]) == literal(sure(train))
    assert list(m.spiking) == ["1"]  # the leaky integrator gives no spikes
    assert m.operations == 30 * 8 * 6 * 5 + int(train.sum()) * 4


def test_cells_of_norse_go_on_with_their_state():
    norse = pytest.importorskip("norse.torch")
    p = norse.LIFParameters(v_th=torch.as_tensor(0.1))
    net, trains = norse.SequentialState(nn.Linear(6, 5), norse.LIFCell(p)), []
    with stp.monitor(net) as m:
        for _ in range(2):
            state, steps = None, []
            for x in torch.rand(30, 8, 6) * 3:
                out, state = net(x, state)
                steps.append(out)
            trains.append(torch.stack(steps))
    assert figures(m.layers["1"]) == literal(sure(torch.cat(trains, 1)))


def test_our_cells_in_norse():
    norse = pytest.importorskip("norse.torch")
    from snn_temporal_plugins.frontends.norse import SingleSpikeIF, SingleSpikeIFCell

    cell, sequence = SingleSpikeIFCell(0.4), SingleSpikeIF(0.4)
    current = torch.rand(T, 8, 5) / 12
    for net, name in ((norse.Lift(cell), "lifted_module"), (sequence, "")):
        with stp.monitor(net) as m:
            out, _ = net(current)
        assert figures(m.layers[name]) == literal(sure(out))
        assert list(m.layers) == [name]  # the neuron inside is not counted again
