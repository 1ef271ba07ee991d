"""Norse models, swapped and trained on real digits."""

import pytest
import torch
from real_models import (
    CROSS_ENTROPY,
    MARGIN,
    STEPS,
    answer_alike,
    calibrated,
    coded,
    digits,
    sizes,
    train,
)
from torch import nn

import snn_temporal_plugins as stp

norse = pytest.importorskip("norse.torch")
from norse.torch.models.conv import ConvNet  # noqa: E402

from snn_temporal_plugins.frontends.norse import SingleSpikeIFCell  # noqa: E402


def lifted():
    """Synapses in Lift, neurons over time; the last one records its potential."""
    return norse.SequentialState(
        nn.Flatten(2),
        norse.Lift(nn.Linear(784, 100, bias=False)),
        norse.LIF(),
        norse.Lift(nn.Linear(100, 10, bias=False)),
        norse.LIF(record_states=True),
    )


def run(model, train):
    spikes, states = model(train)
    return spikes, states[-1].v


@sizes(1500, (0.7, 0.55), 6000, (0.8, 0.8))
def test_sequential_state_with_lift(code, count, floor):
    model = calibrated(stp.swap(lifted(), {norse.LIF: "single_spike_if"}), run, code)
    right, decided = train(model, run, MARGIN, code=code, count=count, batch=50, rate=4e-3)
    assert right > floor
    other = stp.swap(lifted(), {norse.LIF: "single_spike_if"})
    other.load_state_dict(model.state_dict(), strict=True)
    assert answer_alike(other, model, run, code=code)
    if code == "latency":
        twin = stp.to_timed(model, t_max=STEPS, return_potential=True, backend="torch")
        got, potential = twin(stp.latency(digits("test", 400)[0], STEPS))
        assert torch.equal(MARGIN.predict(got, potential=potential), decided)


def test_normalised_backward_through_sequences_equals_the_event_driven_form():
    images, labels = digits("train", 30)
    model = stp.swap(lifted(), {norse.LIF: "single_spike_if"}).double()
    train_ = coded(images.double(), "latency")
    stp.calibrate_(model, train_)
    loss = stp.RankOrderLoss(STEPS, gamma=2)
    spikes, potential = run(model, train_)
    stp.latency_backward(loss.from_spikes(spikes, labels, potential=potential))
    got = [p.grad.clone() for p in model.parameters()]
    twin = stp.to_timed(
        model, t_max=STEPS, error_norm="sum", return_potential=True, backend="torch"
    )
    out, potential = twin(stp.latency(images.double(), STEPS))
    model.zero_grad()
    loss(out, labels, potential=potential).backward()
    assert torch.equal(out, stp.first_spike_times(spikes))
    for a, p in zip(got, model.parameters(), strict=True):
        torch.testing.assert_close(a, p.grad, rtol=1e-10, atol=1e-10)


class Readout(nn.Module):
    """Output spikes in place of ConvNet's leaky integrators; notes the potentials."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(500, 10, bias=False)
        self.neuron = SingleSpikeIFCell()
        self.potentials = []

    def forward(self, x, state=None):
        if state is None:
            self.potentials.clear()
        spikes, state = self.neuron(self.fc(x), state)
        self.potentials.append(state.v)
        return spikes, state


def convnet():
    model = stp.swap(ConvNet(), {norse.LIFCell: "single_spike_if"})
    assert {type(m) for m in (model.lif0, model.lif1, model.lif2)} == {SingleSpikeIFCell}
    model.load_state_dict(ConvNet().state_dict(), strict=True)
    model.out = Readout()
    return model


def run_convnet(model, train):
    return model(train), torch.stack(model.out.potentials)


@sizes(400, (0.25, None), 1500, (0.3, 0.3))
def test_convnet_of_norse_with_output_spikes(code, count, floor):
    model = calibrated(convnet(), run_convnet, code)
    right, _ = train(model, run_convnet, CROSS_ENTROPY, code=code, count=count, batch=10, rate=4e-4)
    assert right > floor
    other = convnet()
    other.load_state_dict(model.state_dict(), strict=True)
    assert answer_alike(other, model, run_convnet, code=code)
    with pytest.raises(TypeError):
        stp.to_timed(model, t_max=STEPS)


@pytest.mark.parametrize("neuron", ["stock", "single spike"])
def test_binary_synapses_are_swapped_in_learn_digits_and_pack(neuron):
    model = stp.swap_synapses(lifted(), scale=0.1)
    if neuron == "single spike":
        model = stp.swap(model, {norse.LIF: "single_spike_if"})
    synapses = [m for m in model.modules() if isinstance(m, stp.BinaryLinear)]
    assert len(synapses) == 2, "also inside Lift"
    before = synapses[0].weight.detach() >= 0
    right, _ = train(model, run, MARGIN, code="constant", count=1500, batch=50, rate=4e-3)
    assert right > 0.5
    flipped = ((synapses[0].weight >= 0) != before).double().mean()
    assert 0.005 < flipped < 0.5
    assert answer_alike(stp.pack(model), model, run, code="constant")
