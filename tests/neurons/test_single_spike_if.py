"""SingleSpikeIF: the clocked form, its step, and the event-driven form are one neuron.

Oracle of the spikes: a literal loop over steps and neurons. Oracle of the gradients: autograd
over the step form, which uses neither cumulative sums nor sorting.
"""

import math

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.codes import potential_at_spike
from snn_temporal_plugins.neurons import ClockedNeuron

T, B, IN, OUT = 12, 5, 9, 7
INF = float("inf")


def literal_loop(times, weight, bias, threshold, delay, steps):
    """Spike times and potentials of one sample, neuron by neuron and step by step."""
    out, potential = [], []
    for j in range(len(weight)):
        v, spike = 0.0, INF
        for t in range(steps):
            v += sum(weight[j][i] for i in range(len(times)) if times[i] == t)
            v += 0.0 if bias is None else bias[j]
            if v > threshold:
                spike = t + delay if t + delay < steps else INF
                break
        out.append(spike)
        potential.append(v)
    return out, potential


def problem(seed, *, bias=False, grid=False):
    """Spike times [B, I] with ties and silence, and a layer; on a grid sums are exact."""
    g = torch.Generator().manual_seed(seed)
    times = torch.randint(0, T + 3, (B, IN), generator=g).double()
    times[times > T] = INF
    layer = nn.Linear(IN, OUT, bias=bias).double()
    with torch.no_grad():
        layer.weight.normal_(0.15, 0.7, generator=g)
        if grid:
            layer.weight.copy_((2 * layer.weight).round() / 2)
        if bias:
            layer.bias.normal_(0.0, 0.12, generator=g)
    return times, layer


def clocked(neuron, layer, times):
    """Spike times, potentials at the spike and their gradients through the step form."""
    train = stp.spike_train(times, T)
    current = torch.stack([layer(step) for step in train])
    if neuron.gate == "triangle":
        spikes, v = neuron.trace(current)
    else:
        state, spikes, v = neuron.initial_state(current[0]), [], []
        for step in current:
            spike, state = neuron.step(step, state)
            spikes.append(spike)
            v.append(state.v)
        spikes, v = torch.stack(spikes), torch.stack(v)
    out = stp.first_spike_times(spikes, v)
    return out, potential_at_spike(v, out)


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("grid", [False, True])
def test_spikes_equal_a_literal_loop(delay, bias, grid):
    times, layer = problem(3, bias=bias, grid=grid)
    threshold = 1.0 if grid else 0.73  # on the grid, potentials land on the threshold
    neuron = stp.SingleSpikeIF(threshold, delay=delay)
    timed = stp.Timed(layer, neuron, t_max=T, return_potential=True)
    out, potential = timed(times)
    offset = layer.bias.tolist() if bias else None
    for b in range(B):
        want, v = literal_loop(
            times[b].tolist(), layer.weight.tolist(), offset, threshold, delay, T
        )
        assert out[b].tolist() == want
        torch.testing.assert_close(potential[b].tolist(), v, atol=1e-10, rtol=0)
    assert torch.isinf(out).any() and torch.isfinite(out).any(), "needs both outcomes"


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_timed_and_clocked_form_agree_in_spikes_and_gradients(seed, delay, bias):
    times, layer = problem(seed, bias=bias, grid=seed % 3 == 0)
    neuron = stp.SingleSpikeIF(1.0 if seed % 3 == 0 else 0.73, delay=delay)
    timed = stp.Timed(layer, neuron, t_max=T, return_potential=True)
    grads = torch.randn(B, OUT).double(), torch.randn(B, OUT).double()
    results = []
    for run in (timed, lambda t: clocked(neuron, layer, t)):
        leaf = times.clone().requires_grad_()
        out, potential = run(leaf)
        results.append(
            (out, potential)
            + torch.autograd.grad([out, potential], [leaf, *layer.parameters()], grads)
        )
    for from_times, from_steps in zip(*results, strict=True):
        torch.testing.assert_close(from_times, from_steps, atol=1e-10, rtol=0)
    assert torch.isinf(results[0][0]).any() and torch.isfinite(results[0][0]).any()


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("split", [1, 5, 11])
def test_sequence_equals_steps_and_may_be_cut_anywhere(delay, split):
    current = torch.randn(T, 4, 6).double() * 0.6
    neuron = stp.SingleSpikeIF(0.9, delay=delay)
    whole, last = neuron(current)
    by_steps, last_step = ClockedNeuron.forward(neuron, current)
    first, state = neuron(current[:split])
    second, last_cut = neuron(current[split:], state)
    assert torch.equal(whole, by_steps)
    assert torch.equal(whole, torch.cat([first, second]))
    torch.testing.assert_close(last.v, last_step.v)
    torch.testing.assert_close(last.v, last_cut.v)
    assert whole.sum(0).max() == 1 and whole.sum(0).min() == 0


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_two_layers_with_triangular_gate_agree_in_the_decision_window(seed, delay):
    """Where every output's causal set reaches the end of the window, both forms are exact."""
    times, hidden = problem(seed)
    output = nn.Linear(OUT, 3, bias=False).double()
    unit = stp.SingleSpikeIF(0.73, delay=delay, gate="triangle", width=0.61)
    silent = stp.SingleSpikeIF(50.0, delay=delay)  # outputs never fire: the window is whole
    error = torch.randn(B, 3).double()

    leaf = times.clone().requires_grad_()
    layers = (
        stp.Timed(hidden, unit, t_max=T),
        stp.Timed(output, silent, t_max=T, error_to_silent=True, return_potential=True),
    )
    with pytest.warns(stp.SilentLayerWarning):
        out, potential = layers[1](layers[0](leaf))
    parameters = [leaf, hidden.weight, output.weight]
    timed = torch.autograd.grad(potential, parameters, error)

    leaf = times.clone().requires_grad_()
    train = stp.spike_train(leaf, T)
    spikes, _ = unit(torch.stack([hidden(step) for step in train]))
    _, v = silent.trace(torch.stack([output(step) for step in spikes]))
    parameters[0] = leaf
    stepped = torch.autograd.grad(v[-1], parameters, error)

    assert torch.isinf(out).all()
    fired = stp.first_spike_times(spikes.detach())
    assert torch.isinf(fired).any() and torch.isfinite(fired).any()
    for a, b in zip(timed, stepped, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_triangular_gate_teaches_a_silent_neuron_near_the_threshold_only():
    weight = torch.tensor([[0.7], [0.2], [3.0]]).double()  # near, far below, far above
    layer = nn.Linear(1, 3, bias=False).double()
    layer.weight.data.copy_(weight)
    timed = stp.Timed(layer, stp.SingleSpikeIF(0.9, gate="triangle", width=0.5), t_max=T)
    out = timed(torch.tensor([[4.0]]).double())
    (grad,) = torch.autograd.grad(out, layer.weight, torch.tensor([[-1.7, -1.7, -1.7]]).double())
    want = 1.7 * (1 - (0.9 - 0.7) / 0.5)
    torch.testing.assert_close(grad.flatten().tolist(), [want, 0.0, 0.0])


def test_shifting_all_inputs_shifts_all_outputs():
    times, layer = problem(1)
    timed = stp.Timed(layer, stp.SingleSpikeIF(0.73))
    assert torch.equal(timed(times + 3.5), timed(times) + 3.5)


def test_permuting_inputs_with_their_weights_changes_nothing():
    times, layer = problem(2, grid=True)
    order = torch.randperm(IN)
    timed = stp.Timed(layer, stp.SingleSpikeIF(0.73))
    before = timed(times)
    layer.weight.data = layer.weight.data[:, order]
    assert torch.equal(timed(times[:, order]), before)


def test_scaling_weights_and_threshold_together_changes_nothing():
    times, layer = problem(4)
    before = stp.Timed(layer, stp.SingleSpikeIF(0.73))(times)
    layer.weight.data *= 4
    assert torch.equal(stp.Timed(layer, stp.SingleSpikeIF(4 * 0.73))(times), before)


def test_several_spikes_per_input_act_like_several_inputs():
    times, layer = problem(5)
    many = torch.stack([times, times + 2], 2)
    double = nn.Linear(2 * IN, OUT, bias=False).double()
    double.weight.data = layer.weight.data.repeat_interleave(2, 1)
    neuron = stp.SingleSpikeIF(0.73)
    want = stp.Timed(double, neuron)(many.flatten(1))
    assert torch.equal(stp.Timed(layer, neuron)(many), want)


def test_convolution_equals_the_clocked_convolution():
    conv = nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
    conv = conv.double()
    neuron = stp.SingleSpikeIF(0.21, delay=1)
    times = torch.randint(0, T + 4, (3, 2, 9, 8)).double()
    times[times > T] = INF
    timed = stp.Timed(conv, neuron, t_max=T, return_potential=True)
    grads = None
    results = []
    for run in (timed, lambda t: clocked(neuron, conv, t)):
        leaf = times.clone().requires_grad_()
        out, potential = run(leaf)
        grads = grads or (torch.randn_like(out), torch.randn_like(out))
        results.append(
            (out, potential)
            + torch.autograd.grad([out, potential], [leaf, *conv.parameters()], grads)
        )
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, atol=1e-10, rtol=0)


def test_convolution_takes_several_spikes_per_input_and_same_padding():
    conv = nn.Conv2d(1, 2, 4, padding="same", bias=False).double()
    once = torch.randint(0, T, (2, 1, 6, 6)).double()
    never = torch.full_like(once, INF)
    timed = stp.Timed(conv, stp.SingleSpikeIF(0.19), t_max=T)
    assert torch.equal(timed(torch.stack([once, never], 4)), timed(once))
    assert timed(once).shape == (2, 2, 6, 6)


def test_late_drive_makes_the_largest_potential_fire_in_evaluation_only():
    layer = nn.Linear(1, 2, bias=False).double()
    layer.weight.data = torch.tensor([[0.5], [0.29]]).double()
    neuron = stp.SingleSpikeIF(0.9, late_drive=(6, 0.15))
    timed = stp.Timed(layer, neuron, t_max=T)
    times = torch.tensor([[2.0]]).double()
    with pytest.warns(stp.SilentLayerWarning):
        assert torch.isinf(timed(times)).all()
    timed.eval()
    # 0.5 + 3 * 0.15 > 0.9 at step 8 and 0.29 + 5 * 0.15 > 0.9 at step 10
    assert timed(times).tolist() == [[8.0, 10.0]]
    current = torch.stack([layer(step) for step in stp.spike_train(times, T)])
    assert stp.first_spike_times(neuron(current)[0]).tolist() == [[8.0, 10.0]]


def test_potential_after_the_spike_is_minus_infinity_and_gradient_stays_finite():
    current = torch.full((5, 1, 1), 0.6, requires_grad=True)
    spikes, state = stp.SingleSpikeIF(1.1)(current)
    assert spikes.flatten().tolist() == [0, 1, 0, 0, 0]
    assert state.v.item() == -math.inf
    spikes.sum().backward()
    assert current.grad.flatten().tolist() == [1, 1, 0, 0, 0]


def test_silent_layer_gets_finite_gradients():
    times, layer = problem(6)
    timed = stp.Timed(layer, stp.SingleSpikeIF(1e6), t_max=T, return_potential=True)
    leaf = times.clone().requires_grad_()
    with pytest.warns(stp.SilentLayerWarning, match="all 7 neurons of a Timed layer stayed silent"):
        out, potential = timed(leaf)
    (out.nan_to_num(posinf=0.0).sum() + potential.sum()).backward()
    assert torch.isfinite(leaf.grad).all() and torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0.0}, "SingleSpikeIF: threshold must be positive and finite, got 0.0"),
        ({"threshold": INF}, "threshold must be positive and finite, got inf"),
        ({"delay": 2}, "SingleSpikeIF: delay must be one of 0, 1; got 2"),
        ({"gate": "round"}, "gate must be one of 'spike', 'triangle'; got 'round'"),
        ({"width": 3.0}, 'width belongs to gate="triangle", got width=3.0'),
        ({"gate": "triangle", "width": -1.0}, "width must be positive and finite, got -1.0"),
        ({"late_drive": (-1, 2.0)}, r"late_drive\[0\] \(start\) must be at least 0, got -1"),
        ({"late_drive": (3, 0.0)}, r"late_drive\[1\] \(current\) must be positive"),
    ],
)
def test_bad_constants_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        stp.SingleSpikeIF(**arguments)


def test_calls_that_need_the_whole_window_say_so():
    neuron = stp.SingleSpikeIF(0.9, gate="triangle")
    current = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="need the whole window"):
        neuron.step(current, neuron.initial_state(current))
    with pytest.raises(ValueError, match=r"shape \[T, B, ...\] with T >= 1, got \[0, 2\]"):
        neuron(torch.zeros(0, 2))
    driven = stp.Timed(nn.Linear(2, 1, bias=False), stp.SingleSpikeIF(late_drive=(3, 0.5))).eval()
    with pytest.raises(ValueError, match="late_drive needs t_max"):
        driven(torch.zeros(1, 2))


def test_repr_tells_the_constants():
    assert repr(stp.SingleSpikeIF(0.9, delay=1)) == "SingleSpikeIF(threshold=0.9, delay=1)"
    text = repr(stp.SingleSpikeIF(0.5, gate="triangle", late_drive=(3, 0.2)))
    assert "gate='triangle', width=0.4, late_drive=(3, 0.2)" in text


def test_a_step_can_be_mapped_over_samples_with_its_gradient():
    neuron, current = stp.SingleSpikeIF(threshold=0.4), torch.rand(6, 5)

    def fire(x):
        return neuron.step(x, neuron.initial_state(x))[0]

    def value(x):
        return (fire(x) * x.detach()).sum()

    assert torch.equal(torch.vmap(fire)(current), fire(current))
    leaf = current.clone().requires_grad_()
    value(leaf).backward()
    assert torch.equal(torch.vmap(torch.func.grad(value))(current), leaf.grad)
