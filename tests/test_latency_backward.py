"""The normalised backward pass through loops over time equals that of event-driven layers."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

STEPS, BATCH, CLASSES = 16, 7, 4
LOSS = stp.RankOrderLoss(STEPS, gamma=3)


def problem(seed=0):
    torch.manual_seed(seed)
    times = torch.randint(0, STEPS + 4, (BATCH, 9)).double()
    times[times >= STEPS] = float("inf")
    times[2] = float("inf")  # a blank sample
    return times, torch.randint(0, CLASSES, (BATCH,))


def network(delay=0):
    layers = []
    for i, (before, size) in enumerate(((9, 8), (8, 6), (6, CLASSES))):
        fc = nn.Linear(before, size, bias=i == 1).double()
        nn.init.normal_(fc.weight, 0.25, 0.4)
        layers += [fc, stp.SingleSpikeIF(0.9 + 0.1 * i, delay=delay)]
    return nn.Sequential(*layers)


def by_steps(model, train, change=lambda v: v):
    """Loop over time, as a host has it; spikes and potentials of the last layer."""
    states, spikes, potentials = {}, [], []
    for x in train:
        for i in range(0, len(model), 2):
            current = model[i](x)
            state = states.get(i) or model[i + 1].initial_state(current)
            x, state = model[i + 1].step(current, state)
            states[i] = type(state)(change(state.v))
        spikes.append(x)
        potentials.append(state.v)
    return torch.stack(spikes), torch.stack(potentials)


def by_layers(model, train):
    """Each layer over the whole window at once."""
    for i in range(0, len(model), 2):
        train, potential = model[i + 1].trace(model[i](train))
    return train, potential


def gradients(model, loss, backward, **options):
    model.zero_grad()
    backward(loss, **options)
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("forward", [by_steps, by_layers])
@pytest.mark.parametrize("norm", ["sum", "mean"])
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_those_of_timed_layers(forward, norm, delay, seed):
    times, targets = problem(seed)
    model = network(delay)
    spikes, potential = forward(model, stp.spike_train(times, STEPS))
    loss = 3.7 * LOSS.from_spikes(spikes, targets, potential=potential)
    got = gradients(model, loss, stp.latency_backward, error_norm=norm)
    twin = stp.to_timed(model, t_max=STEPS, error_norm=norm, return_potential=True)
    out, potential = twin(times)
    assert torch.equal(out, stp.first_spike_times(spikes))
    want = gradients(model, LOSS(out, targets, potential=potential), torch.Tensor.backward)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
        assert b.any()


def test_layers_that_branch_and_a_loss_that_reads_two_of_them():
    times, targets = problem()
    model = network()
    model[4] = nn.Linear(14, CLASSES, bias=False).double()
    nn.init.normal_(model[4].weight, 0.25, 0.4)
    states, outs, potentials, hidden = [None] * 3, [], [], []
    for x in stp.spike_train(times, STEPS):
        inputs = [x]
        for i in range(3):
            x = torch.cat(inputs[1:], 1) if i == 2 else inputs[-1]
            current = model[2 * i](x)
            states[i] = states[i] or model[2 * i + 1].initial_state(current)
            out, states[i] = model[2 * i + 1].step(current, states[i])
            inputs.append(out)
        hidden.append(inputs[1])
        outs.append(out)
        potentials.append(states[2].v)
    early = stp.first_spike_times(torch.stack(hidden))
    loss = LOSS.from_spikes(torch.stack(outs), targets, potential=torch.stack(potentials))
    got = gradients(model, loss + 0.01 * _earliness(early), stp.latency_backward)

    def timed(i, **options):
        return stp.Timed(model[2 * i], model[2 * i + 1], t_max=STEPS, error_norm="sum", **options)

    first = timed(0)(times)
    out, potential = timed(2, return_potential=True)(torch.cat([first, timed(1)(first)], 1))
    loss = LOSS(out, targets, potential=potential) + 0.01 * _earliness(first)
    want = gradients(model, loss, torch.Tensor.backward)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def _earliness(times):
    return times.clamp(max=STEPS).square().sum()


def test_a_convolution_is_normalised_over_the_whole_layer():
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 3, 3, bias=False).double()
    nn.init.normal_(conv.weight, 0.2, 0.3)
    dense = nn.Linear(3 * 4 * 4, CLASSES, bias=False).double()
    nn.init.normal_(dense.weight, 0.1, 0.3)
    model = nn.Sequential(conv, stp.SingleSpikeIF(0.8), nn.Flatten(), dense, stp.SingleSpikeIF(1.2))
    times = torch.randint(0, STEPS, (BATCH, 1, 6, 6)).double()
    targets = torch.randint(0, CLASSES, (BATCH,))
    states, spikes, potentials = [None, None], [], []
    for x in stp.spike_train(times, STEPS):
        for k, i in enumerate((0, 3)):
            current = model[i](x)
            states[k] = states[k] or model[i + 1].initial_state(current)
            x, states[k] = model[i + 1].step(current, states[k])
            x = x.flatten(1)
        spikes.append(x)
        potentials.append(states[1].v)
    loss = LOSS.from_spikes(torch.stack(spikes), targets, potential=torch.stack(potentials))
    got = gradients(model, loss, stp.latency_backward)
    twin = stp.to_timed(model, t_max=STEPS, error_norm="sum", return_potential=True)
    out, potential = twin(times)
    want = gradients(model, LOSS(out, targets, potential=potential), torch.Tensor.backward)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def loss_of(model, times, targets, **options):
    spikes, potential = by_steps(model, stp.spike_train(times, STEPS), **options)
    return LOSS.from_spikes(spikes, targets, potential=potential)


def test_one_neuron_object_may_serve_several_layers():
    times, targets = problem()
    model = network()
    got = gradients(model, loss_of(model, times, targets), stp.latency_backward)
    unit = stp.SingleSpikeIF(0.9)
    want_model = nn.Sequential(*[unit if i % 2 else layer for i, layer in enumerate(model)])
    for layer in model:
        if isinstance(layer, stp.SingleSpikeIF):
            layer.threshold = 0.9
    got = gradients(model, loss_of(model, times, targets), stp.latency_backward)
    want = gradients(want_model, loss_of(want_model, times, targets), stp.latency_backward)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_gradients_are_added_and_no_hooks_remain():
    times, targets = problem()
    model = network()
    loss = loss_of(model, times, targets)
    once = gradients(model, loss, stp.latency_backward, retain_graph=True)
    stp.latency_backward(loss, retain_graph=True)
    for parameter, grad in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * grad)
    plain = gradients(model, loss, torch.Tensor.backward)
    want = gradients(model, loss_of(model, times, targets), torch.Tensor.backward)
    assert all(torch.equal(a, b) for a, b in zip(plain, want, strict=True))


def test_what_cannot_be_done_is_refused():
    times, targets = problem()
    model = network()
    loss = loss_of(model, times, targets)
    with pytest.raises(ValueError, match="error_norm must be one of 'sum', 'mean'; got None"):
        stp.latency_backward(loss, error_norm=None)
    with pytest.raises(ValueError, match=r"beta=0.01 needs the errors of a whole layer"):
        stp.latency_backward(loss, beta=0.01)
    with pytest.raises(ValueError, match="does not depend on any SingleSpikeIF unit"):
        stp.latency_backward(model[0](times.clamp(max=3)).sum())
    loss = loss_of(model, times, targets, change=lambda v: v * 1.5)
    with pytest.raises(ValueError, match="state of a unit was changed between two steps .by Mul"):
        stp.latency_backward(loss)
    gated = stp.SingleSpikeIF(0.9, gate="triangle")
    spikes, _ = gated(model[0](stp.spike_train(times, STEPS)))
    with pytest.raises(ValueError, match='gate="triangle"'):
        stp.latency_backward(spikes.sum())


@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent_layers_are_refused(layers):
    times, _ = problem()
    model, back = network(), nn.Linear(8, 8).double()
    units, states = [model[1], stp.SingleSpikeIF(0.5)][:layers], [None, None]
    last, total = torch.zeros(BATCH, 8).double(), 0
    for x in stp.spike_train(times, STEPS):
        current = model[0](x) + back(last)
        for i, unit in enumerate(units):
            states[i] = states[i] or unit.initial_state(current)
            last, states[i] = unit.step(current, states[i])
            current = 2 * last
        total = total + last.sum()
    message = "recurrent layer" if layers == 1 else "in a circle"
    with pytest.raises(ValueError, match=message):
        stp.latency_backward(total)
