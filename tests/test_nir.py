"""Graphs of NIR spike as the models they come from, in a literal simulation by Euler steps."""

import json

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

nir = pytest.importorskip("nir")
DT = 1e-3


class Simulation:
    """Runs a chain of nodes step by step; spikes and currents last one step."""

    def __init__(self, graph):
        names = [name for name, _ in graph.edges[1:]]
        self.nodes = [graph.nodes[name] for name in names]
        self.states = [{} for _ in names]

    def step(self, x):
        for node, state in zip(self.nodes, self.states, strict=True):
            x = getattr(self, type(node).__name__)(node, state, x)
        return x

    def Affine(self, node, state, x):
        return x @ tensor(node.weight).T + tensor(node.bias)

    def Conv2d(self, node, state, x):
        weight, bias = tensor(node.weight), tensor(node.bias)
        return torch.conv2d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)

    def Flatten(self, node, state, x):
        return x.flatten(1 + node.start_dim)

    def SumPool2d(self, node, state, x):
        size = tuple(node.kernel_size)
        return torch.nn.functional.avg_pool2d(x, size, divisor_override=1)

    def AvgPool2d(self, node, state, x):
        return torch.nn.functional.avg_pool2d(x, tuple(node.kernel_size), tuple(node.stride))

    def IF(self, node, state, x):
        return self.fire(node, state, state.get("v", 0) + DT * tensor(node.r) * x)

    def LI(self, node, state, x):
        v = state.get("v", torch.zeros_like(x))
        state["v"] = v + DT / tensor(node.tau) * (tensor(node.v_leak) - v + tensor(node.r) * x)
        return state["v"]

    def LIF(self, node, state, x):
        v = state.get("v", torch.zeros_like(x))
        change = tensor(node.v_leak) - v + tensor(node.r) * x
        return self.fire(node, state, v + DT / tensor(node.tau) * change)

    def CubaLIF(self, node, state, x):
        i, v = (state.get(key, torch.zeros_like(x)) for key in "iv")
        state["i"] = i + DT / tensor(node.tau_syn) * (tensor(node.w_in) * x - i)
        change = tensor(node.v_leak) - v + tensor(node.r) * state["i"]
        return self.fire(node, state, v + DT / tensor(node.tau_mem) * change)

    def fire(self, node, state, v):
        fires = v > tensor(node.v_threshold)
        state["v"] = torch.where(fires, tensor(node.v_reset), v)
        return fires.double()


def tensor(array):
    return torch.as_tensor(array).double()


def exact(model):
    """Weights that are small fractions of two, so that no rounding decides a spike."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randint(-2, 5, parameter.shape) / 8)
    return model.double()


def run(model, x):
    """Clocked model over a train ``[T, B, ...]``, step by step."""
    outs, states = [], {}
    for step in x:
        for k, layer in enumerate(model):
            if isinstance(layer, stp.ClockedNeuron):
                states[k] = states.get(k) or layer.initial_state(step)
                step, states[k] = layer.step(step, states[k])
            else:
                step = layer(step)
        outs.append(step)
    return torch.stack(outs)


MODELS = {
    "single spike": lambda: nn.Sequential(
        nn.Linear(6, 8), stp.SingleSpikeIF(1.5), nn.Linear(8, 3), stp.SingleSpikeIF(0.7)
    ),
    "spikes": lambda: nn.Sequential(
        nn.Linear(6, 8), stp.TSSLLIF(4.0, 2.0, output="spikes"), nn.Identity(), nn.Linear(8, 3),
        stp.TSSLLIF(2.0, 4.0, 0.5, output="spikes"),
    ),
    "psc": lambda: nn.Sequential(
        nn.Linear(6, 8, bias=False), stp.TSSLLIF(4.0, 2.0), nn.Linear(8, 3), stp.TSSLLIF(2.0, 4.0)
    ),
    "binary": lambda: nn.Sequential(stp.BinaryLinear(6, 8), stp.SingleSpikeIF(1.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_dense_models_spike_as_their_graphs(name):
    model = exact(MODELS[name]())
    x = (torch.rand(20, 5, 6) < 0.4).double()
    graph = stp.to_nir(model, (6,), dt=DT)
    simulation = Simulation(graph)
    got, want = torch.stack([simulation.step(step) for step in x]), run(model, x)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
    assert want.any() and not want.all()


def test_convolutions_spike_as_their_graphs():
    model = exact(
        nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1, bias=False), stp.SingleSpikeIF(0.5), nn.AvgPool2d(2),
            nn.Conv2d(3, 2, 2, stride=2), stp.SingleSpikeIF(0.5), stp.SumPool2d(2), nn.Flatten(),
            nn.Linear(2, 2), stp.SingleSpikeIF(0.25),
        )
    )  # fmt: skip
    x = (torch.rand(10, 4, 1, 8, 8) < 0.2).double()
    simulation = Simulation(stp.to_nir(model, (1, 8, 8), dt=DT))
    got, want = torch.stack([simulation.step(step) for step in x]), run(model, x)
    torch.testing.assert_close(got, want)
    assert want.any() and not want.all()


def test_a_file_keeps_the_graph(tmp_path):
    graph = stp.to_nir(MODELS["psc"](), (6,))
    nir.write(tmp_path / "model.nir", graph)
    read = nir.read(tmp_path / "model.nir")
    assert set(read.nodes) == {"input", "0", "1", "1_psc", "2", "3", "3_psc", "output"}
    note = read.nodes["1"].metadata["snn_temporal_plugins"]
    note = note.decode() if isinstance(note, bytes) else note
    assert json.loads(note)["module"].startswith("TSSLLIF(tau_mem=4")


def test_exact_lif_needs_lossy_and_keeps_its_equations():
    model = nn.Sequential(nn.Linear(2, 3, bias=False), stp.ExactLIF(8.0, 4.0, 0.5))
    with pytest.raises(stp.NotExportableError, match=r"1 \(ExactLIF\) fires between.*lossy=True"):
        stp.to_nir(model, (2,))
    node = stp.to_nir(model, (2,), lossy=True, dt=0.01).nodes["1"]
    # an input of weight 1 alone: i jumps by w_in / tau_syn = 1, v' = -v / tau_mem + r / tau_mem i
    torch.testing.assert_close(tensor(node.w_in / node.tau_syn), torch.ones(3).double())
    torch.testing.assert_close(tensor(node.r / node.tau_mem), torch.full((3,), 100.0).double())
    with pytest.raises(stp.NotExportableError, match="tau_mem=inf"):
        stp.to_nir(stp.ExactLIF(float("inf"), 4.0), (2,), lossy=True)


class Doubled(stp.SingleSpikeIF):
    """Not the neuron that its base class is."""

    def step(self, current, state):
        return super().step(2 * current, state)


def test_a_module_in_two_places_is_two_nodes():
    unit = stp.SingleSpikeIF()
    model = nn.Sequential(nn.Linear(2, 3), unit, nn.Linear(3, 2), unit)
    assert list(stp.to_nir(model, (2,)).nodes) == ["input", "0", "1", "2", "3", "output"]
    assert len(stp.to_timed(model, t_max=8)) == 2


def test_a_subclass_that_computes_alike_is_exported():
    class Named(stp.SingleSpikeIF):
        pass

    assert type(stp.to_nir(Named(), (2,)).nodes["model"]) is nir.IF


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (stp.HerdingReLU(), r"model \(HerdingReLU\) fires signed or several"),
        (nn.Sequential(nn.MaxPool2d(2)), r"0 \(MaxPool2d\) has no counterpart"),
        (nn.Sequential(stp.FirstSpikePool2d(2)), "passes the earliest spike"),
        (stp.SingleSpikeIF(delay=1), "delay=0"),
        (stp.SingleSpikeIF(late_drive=(3, 1.0)), "late_drive"),
        (nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), "zero padding"),
        (nn.Conv2d(1, 2, (1, 3)), "square kernel"),
        (Doubled(), r"Doubled\) has a step of its own, unlike SingleSpikeIF"),
        (nn.Flatten(0), "everything but the batch"),
        (nn.AvgPool2d(2, ceil_mode=True), "cannot say"),
    ],
)
def test_refusals_name_module_and_reason(module, reason):
    with pytest.raises(stp.NotExportableError, match=f"to_nir: .*{reason}"):
        stp.to_nir(module, (1, 4, 4))


def test_host_neurons_are_exported_by_their_cores():
    snn = pytest.importorskip("snntorch")
    model = nn.Sequential(nn.Linear(3, 2), snn.Leaky(0.9, threshold=2.0, init_hidden=True))
    swapped = stp.swap(model, {snn.Leaky: "single_spike_if"}, carry="drop")
    node = stp.to_nir(swapped, (3,)).nodes["1"]
    assert type(node) is nir.IF and (node.v_threshold == swapped[1].core.threshold).all()


def test_without_nir_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    with pytest.raises(ImportError, match=r"snn-temporal-plugins\[nir\]"):
        stp.to_nir(stp.SingleSpikeIF(), (2,))


@pytest.mark.parametrize("bad", [{"dt": 0.0}, {"input_shape": (0,)}])
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=f"to_nir: {next(iter(bad))}"):
        stp.to_nir(stp.SingleSpikeIF(), **{"input_shape": (2,), **bad})
