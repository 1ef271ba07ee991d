"""ExactLIF, clocked: a grid of ever shorter steps leads to the timed form, gradients included."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

INF = float("inf")


def neuron(tau_mem=2.6, tau_syn=1.3, threshold=0.7, **options):
    options = {"truncation": "ignore", "slope_min": 0.0, "max_spikes": 9} | options
    return stp.ExactLIF(tau_mem, tau_syn, threshold, **options)


def network(seed):
    torch.manual_seed(seed)
    first, second = (nn.Linear(*shape, bias=False).double() for shape in ((5, 6), (6, 3)))
    nn.init.normal_(first.weight, 0.6, 0.5)
    nn.init.normal_(second.weight, 0.3, 0.3)
    return first, second


def clocked(layers, train, dt):
    unit = neuron(dt=dt)
    for fc in layers:
        train, _ = unit(torch.stack([fc(step) for step in train]))
    return train


@pytest.mark.parametrize("tau_mem", [0.9, 1.3, 2.6, INF])
def test_one_layer_on_the_grid_has_the_counts_of_the_timed_form(tau_mem):
    torch.manual_seed(1)
    steps, dt = 24, 0.25
    current = 0.9 * torch.randn(steps, 4, 6).double() + 0.3
    counts, state = neuron(tau_mem, dt=dt)(current)
    times = (dt * torch.arange(steps).double()).expand(1, -1)
    for b in range(4):
        weight = current[:, b].T.contiguous()  # one input per step
        out, _ = neuron(tau_mem, max_spikes=60).spike_times(times, weight, t_max=steps * dt)
        spikes = out[0]
        for j in range(6):
            inside = spikes[j][torch.isfinite(spikes[j])]
            wanted = torch.histc((inside / dt).floor(), steps, -0.5, steps - 0.5)
            assert torch.equal(counts[:, b, j], wanted.double())
    assert counts.max() > 1 and not torch.isnan(state.v).any()


def test_gradients_of_currents_are_those_of_the_weights_of_the_timed_form():
    torch.manual_seed(4)
    steps, dt = 14, 0.25
    current = (0.7 * torch.randn(steps, 1, 3).double() + 0.5).requires_grad_()
    spikes, _ = neuron(dt=dt)(current)
    first = stp.first_spike_times(spikes.clamp(max=1))
    assert torch.isfinite(first).all()
    coefficients = torch.tensor([[0.7, -1.3, 0.4]]).double()
    (on_current,) = torch.autograd.grad((dt * first * coefficients).sum(), current)
    weight = current.detach()[:, 0].T.contiguous().requires_grad_()
    times = (dt * torch.arange(steps).double()).expand(1, -1)
    out, _ = neuron().spike_times(times, weight)
    (on_weight,) = torch.autograd.grad((out[..., 0] * coefficients).sum(), weight)
    torch.testing.assert_close(on_current[:, 0].T, on_weight)


@pytest.mark.parametrize("seed", [0, 1])
def test_ever_shorter_steps_lead_to_the_timed_network_and_its_gradients(seed):
    layers = network(seed)
    weights = [fc.weight for fc in layers]
    times = (2 * torch.rand(2, 5)).double()
    exact = times
    for fc in layers:
        exact = stp.Timed(fc, neuron(), t_max=5.0)(exact)
    first = exact[..., 0]
    wanted = torch.autograd.grad(torch.sin(first[torch.isfinite(first)]).sum(), weights)
    errors = []
    for dt in (0.02, 0.0025):
        steps = round(5.0 / dt)
        train = stp.spike_train((times / dt).floor(), steps)
        out = clocked(layers, train, dt)
        found = dt * stp.first_spike_times(out.clamp(max=1))
        fired = torch.isfinite(found)
        assert torch.equal(fired, torch.isfinite(first))
        grads = torch.autograd.grad(torch.sin(found[fired]).sum(), weights)
        errors.append(
            [(found - first)[fired].abs().max().item()]
            + [((a - b).norm() / b.norm()).item() for a, b in zip(grads, wanted, strict=True)]
        )
    coarse, fine = torch.tensor(errors)
    assert (fine < 0.3 * coarse).all() and (fine < 0.05).all()


def test_state_travels_and_steps_equal_the_sequence():
    torch.manual_seed(2)
    current = torch.randn(9, 2, 4).double() + 0.4
    unit = neuron()
    whole, last = unit(current)
    state = unit.initial_state(current[0])
    assert state._fields == ("i", "v", "spikes")
    for t in range(9):
        out, state = unit.step(current[t], state)
        assert torch.equal(out, whole[t])
    for a, b in zip(state, last, strict=True):
        assert torch.equal(a, b)


def test_potentials_pass_their_gradient():
    torch.manual_seed(3)
    current = (0.6 * torch.randn(5, 2, 3) + 0.5).double().requires_grad_()

    def last_potential(current):
        spikes, state = neuron(dt=0.4)(current)
        return state.v, state.i, spikes.sum()

    assert last_potential(current)[2] > 3

    def read(current):
        return last_potential(current)[:2]

    assert torch.autograd.gradcheck(read, (current,), eps=1e-7, atol=1e-5)


def test_learned_constants_are_refused_in_the_clocked_form():
    unit = neuron(learn=("tau_syn",))
    with pytest.raises(ValueError, match="learned constants get gradients in the timed form only"):
        unit(torch.rand(3, 1, 2))


def test_the_limit_of_synaptic():
    snn = pytest.importorskip("snntorch")
    alpha, beta, dt = 0.93, 0.97, 0.05
    unit, scale = stp.ExactLIF.from_synaptic(alpha, beta, 0.6, dt=dt)
    assert unit.tau_syn == pytest.approx(-dt / math.log(alpha)) and scale == 20
    host = snn.Synaptic(alpha=alpha, beta=beta, threshold=1e6)
    syn, mem = host.init_synaptic()
    state, current = None, torch.zeros(1, 1)
    for t in range(60):
        current = torch.full((1, 1), 0.001 * (t % 7 == 0))
        _, syn, mem = host(current, syn, mem)
        state = unit.initial_state(current) if state is None else state
        _, state = unit.step(scale * current, state)
    assert state.v.item() == pytest.approx(mem.item(), rel=0.06)
    for wrong in ((0.0, 0.9), (0.9, 1.2)):
        with pytest.raises(ValueError, match="expected 0 < alpha < 1 and 0 < beta <= 1, got"):
            stp.ExactLIF.from_synaptic(*wrong)


def test_the_constants_of_norse():
    parameters = SimpleNamespace(
        tau_syn_inv=torch.tensor(200.0),
        tau_mem_inv=torch.tensor(100.0),
        v_leak=torch.tensor(0.0),
        v_reset=torch.tensor(0.0),
        v_th=torch.tensor(0.6),
    )
    unit, scale = stp.ExactLIF.from_norse(parameters, max_spikes=4)
    assert (unit.tau_mem, unit.tau_syn, scale) == pytest.approx((0.01, 0.005, 100.0))
    assert unit.max_spikes == 4 and unit.threshold == pytest.approx(0.6)
    parameters.v_reset = torch.tensor(0.3)
    with pytest.raises(ValueError, match="v_reset must be 0"):
        stp.ExactLIF.from_norse(parameters)
