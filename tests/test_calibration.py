"""calibrate_ reaches the wanted share by one factor per layer, or changes nothing."""

import warnings

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

INF = float("inf")
T = 16


def layer(inputs, outputs, *, bias=False, threshold=2.3, **options):
    linear = nn.Linear(inputs, outputs, bias=bias)
    return stp.Timed(linear, stp.SingleSpikeIF(threshold, **options), t_max=T, backend="torch")


def stack(**options):
    return nn.Sequential(layer(30, 40, **options), layer(40, 20, threshold=0.7, **options))


def times(batch=50):
    return torch.randint(0, T, (batch, 30)).float().masked_fill(torch.rand(batch, 30) < 0.3, INF)


def share(out):
    return torch.isfinite(out).double().mean().item()


def copy_of(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


def same(model, saved):
    now = model.state_dict()
    return list(now) == list(saved) and all(torch.equal(now[key], saved[key]) for key in saved)


@pytest.mark.parametrize("bias", [False, True])
def test_every_layer_reaches_the_share_by_one_factor(bias):
    net, inputs = stack(bias=bias), times()
    before = copy_of(net)
    report = stp.calibrate_(net, inputs, fire=0.35)
    hidden = net[0](inputs)
    for name, out in (("0", hidden), ("1", net[1](hidden))):
        told = report.layers[name]
        assert share(out) == pytest.approx(0.35, abs=0.006)
        assert told.after == pytest.approx(share(out)) and told.driver == name
        for key in ("weight", "bias")[: 1 + bias]:
            key = f"{name}.synapse.{key}"
            assert torch.equal(net.state_dict()[key], before[key] * told.factor)
    first = stack(bias=bias)
    first.load_state_dict(before)
    first[0]._warned_silent = True
    assert report.layers["0"].before == pytest.approx(share(first[0](inputs)))


def test_factor_lies_where_the_peaks_of_the_potential_say():
    net, inputs = layer(30, 40), times()
    train = stp.spike_train(inputs, T)
    peaks = (train @ net.synapse.weight.T).cumsum(0).amax(0).flatten().sort().values
    factor = stp.calibrate_(net, inputs, fire=0.2).layers[""].factor
    low, high = (2.3 / peaks[round((1 - p) * len(peaks))] for p in (0.19, 0.21))
    assert low <= factor <= high


class Clocked(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.synapses = nn.ModuleList(part.synapse for part in net)
        self.neurons = nn.ModuleList(part.neuron for part in net)

    def forward(self, train):
        for synapse, neuron in zip(self.synapses, self.neurons, strict=True):
            train, _ = neuron(synapse(train))
        return train


def test_clocked_model_gets_the_factors_of_its_timed_twin():
    net, inputs = stack(bias=True), times(20)
    start = copy_of(net)
    timed = stp.calibrate_(net, inputs)
    net.load_state_dict(start)
    clocked = stp.calibrate_(Clocked(net), stp.spike_train(inputs, T))
    assert [x.factor for x in clocked.layers.values()] == pytest.approx(
        [x.factor for x in timed.layers.values()]
    )
    assert clocked.layers["neurons.1"].driver == "synapses.1"


def test_a_share_that_is_right_already_costs_no_change():
    net, inputs = stack(), times()
    stp.calibrate_(net, inputs)
    before = copy_of(net)
    assert [x.factor for x in stp.calibrate_(net, inputs).layers.values()] == [1.0, 1.0]
    assert same(net, before)


def test_layers_that_are_not_named_are_left_alone():
    net, inputs = stack(), times()
    before = copy_of(net)
    report = stp.calibrate_(net, inputs, fire={"0": 0.6})
    assert torch.equal(net[1].synapse.weight, before["1.synapse.weight"])
    assert report.layers["1"].factor is None and report.layers["1"].driver is None
    assert report.layers["0"].after == pytest.approx(0.6, abs=0.006)
    last = str(report).splitlines()[-1].split()
    assert last[:2] == ["1", "-"] and last[-1] == "-"


def test_scale_of_binary_synapses_moves_and_their_signs_stay():
    synapse = stp.BinaryLinear(30, 40, scale=0.01)
    net, inputs = stp.Timed(synapse, stp.SingleSpikeIF(2.3), t_max=T, backend="torch"), times()
    latent = synapse.weight.clone()
    report = stp.calibrate_(net, inputs, fire=0.4)
    assert torch.equal(synapse.weight, latent)
    assert synapse.scale.item() == pytest.approx(0.01 * report.layers[""].factor)
    assert share(net(inputs)) == pytest.approx(0.4, abs=0.15)  # counts: the share moves in jumps


def test_parametrised_weights_are_scaled_through_their_parametrisation():
    net, inputs = layer(30, 40), times()
    nn.utils.parametrizations.weight_norm(net.synapse)
    weight = net.synapse.weight.detach().clone()
    factor = stp.calibrate_(net, inputs).layers[""].factor
    torch.testing.assert_close(net.synapse.weight.detach(), weight * factor)


def test_a_normalisation_behind_the_synapse_is_what_is_scaled():
    neuron = stp.SingleSpikeIF(2.3)

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm, self.neuron = nn.Linear(30, 40), nn.BatchNorm1d(40), neuron

        def forward(self, train):
            return self.neuron(self.norm(self.fc(train).flatten(0, 1)).unflatten(0, (T, -1)))[0]

    net, train = Normed().train(), stp.spike_train(times(), T)
    before, gain = copy_of(net), net.norm.weight.detach().clone()
    told = stp.calibrate_(net, train).layers["neuron"]
    assert told.driver == "norm" and torch.equal(net.norm.weight.detach(), gain * told.factor)
    for key in ("fc.weight", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"):
        assert torch.equal(net.state_dict()[key], before[key]), key
    assert net.training and net.norm.training
    assert net(train).any(0).double().mean().item() == pytest.approx(0.3, abs=0.006)


def test_late_drive_and_dropout_have_no_part_in_it():
    net, inputs = nn.Sequential(layer(30, 40, late_drive=(9, 5.0)), nn.Dropout(0.5)).eval(), times()
    stp.calibrate_(net, inputs)
    net[0].neuron.train()
    assert share(net[0](inputs)) == pytest.approx(0.3, abs=0.006)
    assert not net.training


def test_modes_warnings_and_the_random_numbers_are_untouched():
    net, inputs = stack(), times()
    net[0].synapse.weight.data *= 1e-3
    net[1].eval()
    state = torch.get_rng_state()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        stp.calibrate_(net, inputs)
    assert not seen and torch.equal(torch.get_rng_state(), state)
    assert [m.training for m in net] == [True, False]
    net[0].synapse.weight.data *= 1e-3
    with pytest.warns(stp.SilentLayerWarning):
        net[0](inputs)


class Loop(nn.Module):
    """Two neurons of a host behind nn.Linear, one step per call."""

    def __init__(self, neurons):
        super().__init__()
        self.fcs = nn.ModuleList([nn.Linear(30, 40), nn.Linear(40, 20)])
        self.neurons = nn.ModuleList(neurons)

    def forward(self, x):
        for fc, neuron in zip(self.fcs, self.neurons, strict=True):
            x = neuron(fc(x))
        return x


@pytest.mark.parametrize("kind", ["stock", "ours"])
def test_snntorch_with_hidden_states_and_the_loop_outside(kind):
    snn = pytest.importorskip("snntorch")
    from snn_temporal_plugins.frontends.snntorch import SingleSpikeIF

    def neuron():
        if kind == "ours":
            return SingleSpikeIF(2.3, init_hidden=True)
        return snn.Leaky(beta=0.8, threshold=2.3, init_hidden=True)

    net, train = Loop([neuron(), neuron()]), stp.spike_train(times(), T)
    report = stp.calibrate_(net, train, run=lambda model, x: [model(step) for step in x])
    stp.reset_(net)
    out = torch.stack([net(step) for step in train])
    assert out.any(0).double().mean().item() == pytest.approx(0.3, abs=0.006)
    assert list(report.layers) == ["neurons.0", "neurons.1"]
    stp.reset_(net)
    hidden = []
    for step in train:
        hidden.append(net.neurons[0](net.fcs[0](step)))
    assert torch.stack(hidden).any(0).double().mean().item() == pytest.approx(0.3, abs=0.006)


def test_sequences_of_norse():
    norse = pytest.importorskip("norse.torch")
    net = norse.SequentialState(
        norse.Lift(nn.Linear(30, 40)), norse.LIF(), norse.Lift(nn.Linear(40, 20)), norse.LI()
    )
    train = stp.spike_train(times(12), T)
    readout = net[2].lifted_module.weight.clone()
    report = stp.calibrate_(net, train, fire=0.25)
    out, _ = net[1](net[0](train))
    assert out.any(0).double().mean().item() == pytest.approx(0.25, abs=0.006)
    assert report.layers["1"].driver == "0.lifted_module" and list(report.layers) == ["1"]
    assert torch.equal(net[2].lifted_module.weight, readout)


class Failing(nn.Module):
    """Raises at its third call."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("third call")
        return x


def test_an_error_on_the_way_leaves_nothing_changed():
    net, inputs = nn.Sequential(layer(30, 40), nn.BatchNorm1d(40), Failing()).train(), times()
    net[1].eval()
    before = copy_of(net)
    with pytest.raises(RuntimeError, match="third call"):
        stp.calibrate_(net, inputs.clamp(max=T), fire=0.9)
    assert same(net, before) and net.training and not net[1].training
    assert not any(module._forward_hooks for module in net.modules())


def unreachable():
    net = stack()
    net[1].synapse.weight.data[:15] = -0.4  # 15 of 20 neurons can never fire
    return net


def tied():
    net = nn.Sequential(layer(30, 30), layer(30, 30))
    net[1].synapse.weight = net[0].synapse.weight
    return net


class Served(nn.Module):
    """One neuron behind two synapses."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(30, 30), nn.Linear(30, 30)
        self.neuron = stp.SingleSpikeIF(0.3)

    def forward(self, x):
        train = stp.spike_train(x, T)
        return self.neuron(self.b(self.neuron(self.a(train))[0]))


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (
            unreachable,
            {},
            ValueError,
            "in 1 a share of 0.3 cannot be reached.* neurons fire",
        ),
        (tied, {}, ValueError, "1 serves the layers 0 and 1, so no factor is right"),
        (Served, {}, ValueError, r"one neuron, neuron, serves several synapses \(a, b\)"),
        (stack, {"fire": 1.0}, ValueError, "fire must be between 0 and 1, got 1.0"),
        (stack, {"fire": -0.1}, ValueError, "fire must be positive and finite, got -0.1"),
        (stack, {"fire": "a"}, TypeError, "fire must be a number, got 'a'"),
        (
            stack,
            {"fire": {"2": 0.4}},
            ValueError,
            "fire names '2'; the .* layers are '0', '1'",
        ),
        (lambda: nn.Linear(30, 3), {}, TypeError, "Linear holds no spiking layer"),
        (lambda: stp.SingleSpikeIF(), {}, TypeError, "no spiking layer has a synapse in front"),
    ],
)
def test_what_cannot_be_done_is_named_and_not_half_done(model, options, error, message):
    net = model()
    before = copy_of(net)
    inputs = torch.rand(T, 5, 30) if isinstance(net, stp.SingleSpikeIF) else times()
    with pytest.raises(error, match=message):
        stp.calibrate_(net, inputs, **options)
    assert same(net, before)


def test_blank_inputs_are_refused():
    net = stack()
    before = copy_of(net)
    with pytest.raises(ValueError, match="in 0 a share of 0.3 cannot be reached.*blank inputs"):
        stp.calibrate_(net, torch.full((4, 30), INF))
    assert same(net, before)
