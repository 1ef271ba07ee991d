"""Monitors count what a loop over single spikes counts, on every host, and change nothing."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

INF = float("inf")
T = 12


def random_times(*shape):
    times = torch.randint(0, T + 3, shape).float()
    return times.masked_fill(times > T, INF)  # some never, some at T: outside the window


def timed_stack():
    layers = []
    for inputs, outputs in ((9, 7), (7, 5)):
        linear = nn.Linear(inputs, outputs, bias=False)
        nn.init.uniform_(linear.weight, -0.5, 0.9)
        layers.append(stp.Timed(linear, stp.SingleSpikeIF(0.8), t_max=T))
    return nn.Sequential(*layers)


def test_timed_layers_are_counted_spike_by_spike():
    net, batches = timed_stack(), [random_times(6, 9), random_times(4, 9)]
    with stp.monitor(net) as m:
        outs = [net(batch) for batch in batches]
    for place, inputs in (("0", batches), ("1", [net[0](b) for b in batches])):
        times = torch.cat([net[int(place)](batch) for batch in inputs])
        layer, units = m.layers[place], times.shape[1]
        fired = [[bool(times[b, j] < INF) for j in range(units)] for b in range(10)]
        assert layer.samples == 10 and layer.units == (units,)
        assert layer.spikes == sum(map(sum, fired))
        assert layer.fired == pytest.approx(layer.spikes / (10 * units))
        assert layer.dead == sum(not any(row[j] for row in fired) for j in range(units))
        arrived = sum(int(t < T) for batch in inputs for t in batch.flatten())
        assert layer.operations == arrived * units
    assert 0 < m.layers["1"].fired < 1 and torch.isinf(torch.cat(outs)).any()
    assert m.operations == m.layers["0"].operations + m.layers["1"].operations


def literal_operations(conv, arrived):
    """Number of (input spike, output) pairs with a weight between them."""
    outputs = conv(torch.zeros_like(arrived))
    weight_of_one = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
        conv.groups,
        bias=False,
    )
    nn.init.ones_(weight_of_one.weight)
    total = 0
    for index in arrived.nonzero().tolist():
        alone = torch.zeros_like(arrived)
        alone[tuple(index)] = 1
        total += int((weight_of_one(alone) != 0).sum())
    assert outputs.dim() == 4
    return total


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1, "stride": 2},
        {"groups": 2, "padding": (0, 2), "dilation": (1, 2)},
        {"padding": "same"},
    ],
)
def test_convolutions_count_each_weight_that_a_spike_meets(options):
    conv = nn.Conv2d(2, 4, 3, bias=False, **options)
    nn.init.uniform_(conv.weight, -0.5, 0.9)
    conv.weight.data[1] = -0.3  # a channel that never fires
    net = stp.Timed(conv, stp.SingleSpikeIF(0.8), t_max=T, backend="torch")
    times = random_times(2, 2, 6, 5)
    with stp.monitor(net) as m:
        out = net(times)
    layer = m.layers[""]
    assert layer.units == tuple(out.shape[1:]) and layer.spikes == int((out < INF).sum())
    assert layer.operations == literal_operations(conv, (times < T).float())
    rows = (out < INF).flatten(2).any(2).double().mean(0)
    assert torch.equal(layer.fired_per_row, rows) and rows[1] == 0 < rows.max()
    assert torch.equal(layer.fired_per_unit, (out < INF).double().mean(0))


def test_several_spikes_per_input_are_several_operations():
    net = timed_stack()
    times = random_times(3, 9, 2).sort(-1).values
    with stp.monitor(net) as m:
        net(times)
    assert m.layers["0"].operations == int((times < T).sum()) * 7
    conv = nn.Conv2d(2, 4, 3, bias=False)
    net, times = stp.Timed(conv, stp.SingleSpikeIF(0.8), t_max=T), random_times(2, 2, 6, 5, 3)
    with stp.monitor(net) as m:
        net(times)
    want = sum(literal_operations(conv, (times[..., k] < T).float()) for k in range(3))
    assert m.layers[""].operations == want


class Clocked(nn.Module):
    """The clocked twin of a stack of Timed layers, in sequences."""

    def __init__(self, stack):
        super().__init__()
        self.synapses = nn.ModuleList(layer.synapse for layer in stack)
        self.neurons = nn.ModuleList(layer.neuron for layer in stack)

    def forward(self, train):
        for synapse, neuron in zip(self.synapses, self.neurons, strict=True):
            train, _ = neuron(synapse(train))
        return train


def test_clocked_and_timed_forms_have_the_same_figures():
    stack, times = timed_stack(), random_times(8, 9)
    net = Clocked(stack)
    with stp.monitor(stack) as timed:
        stack(times)
    with stp.monitor(net) as clocked:
        net(stp.spike_train(times, T))
    for name in "01":
        one, other = timed.layers[name], clocked.layers[f"neurons.{name}"]
        assert other.drivers == (f"synapses.{name}",)
        for figure in ("samples", "units", "fired", "spikes", "operations", "dead"):
            assert getattr(one, figure) == getattr(other, figure), figure
        assert torch.equal(one.fired_per_unit, other.fired_per_unit)
    assert timed.operations == clocked.operations


def test_a_chunk_that_continues_a_state_adds_no_samples():
    neuron, current = stp.SingleSpikeIF(0.8), torch.rand(T, 5, 4) / 3
    with stp.monitor(neuron) as whole:
        neuron(current)
    with stp.monitor(neuron) as parts:
        _, state = neuron(current[:5])
        neuron(current[5:], state)
    for figure in ("samples", "fired", "spikes", "dead"):
        assert getattr(parts.layers[""], figure) == getattr(whole.layers[""], figure), figure
    with stp.monitor(neuron) as anew:
        for part in (current[:5], current[5:]):
            neuron(part)
    assert anew.layers[""].samples == 10


def test_outputs_that_stand_for_spikes_are_counted_as_spikes():
    current = torch.rand(T, 3, 4)
    psc = stp.TSSLLIF(threshold=0.6, output="psc", backend="torch")
    with stp.monitor(psc) as m:
        _, state = psc(current[:7])
        psc(current[7:], state)
    spikes, v = 0, torch.zeros(3, 4)
    for x in current:
        u = (1 - 1 / psc.tau_mem) * v + x
        spikes += int((u > 0.6).sum())
        v = u * (u <= 0.6)
    assert m.layers[""].spikes == spikes > 0 and m.layers[""].samples == 3
    unit = stp.HerdingQuantizer(0.4)
    with stp.monitor(unit) as m:
        out, _ = unit(current - 0.5)
    assert m.layers[""].spikes == int((out.abs() / 0.4).round().sum()) and (out < 0).any()


def test_results_and_gradients_stay_what_they_are():
    net, times = timed_stack(), random_times(6, 9)
    results = []
    for watched in (False, True):
        net.zero_grad()
        with stp.monitor(net) if watched else torch.enable_grad():
            out = net(times)
            out.clamp(max=T).sum().backward()
        results.append([out, *(p.grad.clone() for p in net.parameters())])
    for plain, watched in zip(*results, strict=True):
        assert torch.equal(plain, watched)


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_hooks_are_gone_afterwards_also_after_an_error():
    net = Clocked(timed_stack())
    m = stp.monitor(net)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), m:
        net(torch.zeros(T, 3, 8))
    assert hooks(net) == 0
    with m:
        assert hooks(net) == 4
        net(torch.zeros(T, 3, 9))
    with m:  # further blocks add up
        net(torch.zeros(T, 2, 9))
    assert m.layers["neurons.1"].samples == 5 and hooks(net) == 0


def test_table_names_layers_figures_and_synapses_without_neuron():
    net = nn.Sequential(*timed_stack(), nn.Linear(5, 3))
    with stp.monitor(net) as m:
        net(random_times(4, 9))
    text = str(m)
    assert text.startswith("4 samples; spikes and operations per sample")
    assert "layer  neuron         units  fired" in text
    row = text.splitlines()[3].split()
    assert row[:3] == ["0", "SingleSpikeIF", "7"] and row[3] == f"{m.layers['0'].fired:.1%}"
    rest = m.operations - sum(layer.operations for layer in m.layers.values())
    readout = ["2", "none", "-", "-", "-", f"{rest / 4:.1f}", "-"]
    assert rest > 0 and text.splitlines()[-1].split() == readout
    assert repr(m) == "Monitor(layers=['0', '1'])"
    assert "SingleSpikeIF, units=(7,), samples=4" in repr(m.layers["0"])


def test_a_monitor_that_saw_nothing_is_empty():
    m = stp.monitor(timed_stack())
    assert m.layers == {} and m.operations == 0 and str(m).startswith("0 samples")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(3, 2), "Linear holds no spiking layer"),
        (torch.compile(nn.Linear(3, 2), backend="eager"), "a compiled model does not call hooks"),
    ],
)
def test_models_that_cannot_be_watched_are_refused(model, message):
    with pytest.raises(TypeError, match=message):
        stp.monitor(model)
