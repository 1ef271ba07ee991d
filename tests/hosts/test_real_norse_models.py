"""Norse models, swapped and trained on real digits."""

import pytest
import torch
from real_models import STEPS, accuracy, coded, digits, scale_until_firing_, train
from torch import nn

import snn_temporal_plugins as stp

norse = pytest.importorskip("norse.torch")
from norse.torch.models.conv import ConvNet  # noqa: E402

LOSS = stp.FirstSpikeCrossEntropy(STEPS, tau=1.5)


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


@pytest.mark.parametrize("code", ["constant", "latency"])
def test_sequential_state_with_lift(code):
    images, _ = digits("train", 40)
    model = stp.swap(lifted(), {norse.LIF: "single_spike_if"})
    scale_until_firing_(
        [(model[1], model[2]), (model[3], model[4])], lambda: run(model, coded(images, code))
    )
    right, times, decided = train(model, run, LOSS, code=code, count=1500, batch=50, rate=4e-3)
    assert right > {"constant": 0.7, "latency": 0.55}[code]
    other = stp.swap(lifted(), {norse.LIF: "single_spike_if"})
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(accuracy(other, run, code=code)[1], times)
    if code == "latency":
        twin = stp.to_timed(model, t_max=STEPS, return_potential=True, backend="torch")
        got, potential = twin(stp.latency(digits("test", 400)[0], STEPS))
        assert torch.equal(LOSS.predict(got, potential=potential), decided)


def test_normalised_backward_through_sequences_equals_the_event_driven_form():
    images, labels = digits("train", 30)
    model = stp.swap(lifted(), {norse.LIF: "single_spike_if"}).double()
    train_ = coded(images.double(), "latency")
    scale_until_firing_([(model[1], model[2]), (model[3], model[4])], lambda: run(model, train_))
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


@pytest.mark.parametrize("code", ["constant", "latency"])
def test_convnet_of_norse_with_its_readout(code):
    images, labels = digits("train", 40)
    model = stp.swap(ConvNet(), {norse.LIFCell: "single_spike_if"}, threshold=0.6)
    assert [type(m).__name__ for m in (model.lif0, model.lif1, model.lif2)] == [
        "SingleSpikeIFCell"
    ] * 3
    model.load_state_dict(ConvNet().state_dict(), strict=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    values = []
    for _ in range(6):
        optimizer.zero_grad()
        voltages = model(coded(images, code)[::3])
        value = nn.functional.cross_entropy(voltages.max(0).values, labels)
        value.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())
        optimizer.step()
        values.append(value.item())
    assert min(values[-2:]) < 0.97 * values[0]


@pytest.mark.parametrize("neuron", ["stock", "single spike"])
def test_binary_synapses_are_swapped_in_learn_digits_and_pack(neuron):
    model = stp.swap_synapses(lifted(), scale=0.1)
    if neuron == "single spike":
        model = stp.swap(model, {norse.LIF: "single_spike_if"})
    synapses = [m for m in model.modules() if isinstance(m, stp.BinaryLinear)]
    assert len(synapses) == 2, "also inside Lift"
    before = synapses[0].weight.detach() >= 0
    right, times, _ = train(model, run, LOSS, code="constant", count=1500, batch=50, rate=4e-3)
    assert right > 0.5
    flipped = ((synapses[0].weight >= 0) != before).double().mean()
    assert 0.005 < flipped < 0.5
    assert torch.equal(accuracy(stp.pack(model), run, code="constant")[1], times)
