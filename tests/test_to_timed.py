"""The event-driven twin of a clocked model, and pooling on first spikes."""

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

INF = float("inf")
STEPS = 13


class Host(nn.Module):
    """Stands for the host classes of the front ends, which keep their core under this name."""

    def __init__(self, core):
        super().__init__()
        self.core = core

    def forward(self, x):
        return self.core(x)[0]


class PerStep(nn.Module):
    """Stands for norse's Lift: a layer applied to every step of a train."""

    def __init__(self, module):
        super().__init__()
        self.lifted_module = module

    def forward(self, x):
        return torch.stack([self.lifted_module(step) for step in x])


def unit(**options):
    return Host(stp.SingleSpikeIF(0.7, **options))


def clocked():
    """A convolutional model over trains [T, B, C, H, W]."""
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, 3, padding=1, stride=1, bias=False)
    grouped = nn.Conv2d(4, 6, 2, groups=2, bias=False)
    dense = nn.Linear(6 * 2 * 2, 5)
    for layer in (conv, grouped, dense):
        nn.init.normal_(layer.weight, 0.12, 0.3)
    nn.init.normal_(dense.bias, 0.0, 0.05)
    return nn.Sequential(
        nn.Sequential(PerStep(conv), unit(delay=1), nn.Identity()),
        stp.FirstSpikePool2d(2),
        PerStep(grouped),
        unit(),
        nn.Flatten(2),
        PerStep(dense),
        unit(),
    ).double()


def images(batch=4):
    times = torch.randint(0, STEPS + 4, (batch, 2, 6, 6)).double()
    times[times > STEPS] = INF
    return times


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_twin_gives_the_spikes_and_gradients_of_the_clocked_model(backend):
    model, times = clocked(), images()
    twin = stp.to_timed(model, t_max=STEPS, backend=backend)
    want = stp.first_spike_times(model(stp.spike_train(times, STEPS)))
    got = twin(times)
    assert torch.isinf(want).any() and torch.isfinite(want).any()
    assert torch.equal(got, want)
    error = torch.randn_like(want) * torch.isfinite(want)
    parameters = [*model.parameters()]
    for a, b in zip(
        torch.autograd.grad(got, parameters, error),
        torch.autograd.grad(want, parameters, error),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
        assert b.any()


def test_parameters_are_shared_and_options_reach_every_layer():
    model = clocked().eval()
    twin = stp.to_timed(model, t_max=STEPS, error_norm="mean", return_potential=True)
    assert {id(p) for p in twin.parameters()} == {id(p) for p in model.parameters()}
    assert not twin.training
    assert all(m.error_norm == "mean" for m in twin.modules() if isinstance(m, stp.Timed))
    out, potential = twin(images())
    assert out.shape == potential.shape == (4, 5)


def test_norse_container_and_lift_are_looked_through():
    norse = pytest.importorskip("norse.torch")
    fc, neuron = nn.Linear(6, 3, bias=False), stp.SingleSpikeIF(0.7)
    twin = stp.to_timed(norse.SequentialState(norse.Lift(fc), neuron), t_max=STEPS)
    assert twin[0].synapse is fc and twin[0].neuron is neuron


LINEAR = nn.Linear(4, 3, bias=False)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(LINEAR, unit(), nn.MaxPool2d(2)),
            r"model.2 \(MaxPool2d\).*FirstSpikePool2d",
        ),
        (nn.Sequential(nn.Sequential(nn.AvgPool2d(2))), r"model.0.0 \(AvgPool2d\).*average"),
        (nn.Sequential(nn.Dropout()), r"model.0 \(Dropout\) .*anew in every step"),
        (nn.Sequential(LINEAR, nn.ReLU()), r"model.0 \(Linear\).*model.1 behind it is no single"),
        (nn.Sequential(LINEAR), r"model.0 \(Linear\) .* no single-spike unit follows it"),
        (nn.Sequential(unit()), r"model.0 \(Host\) .* no synapse right before it"),
        (nn.Sequential(nn.Flatten(0)), r"model.0 \(Flatten\) .* everything but the batch"),
        (nn.Sequential(nn.BatchNorm1d(3)), r"\(BatchNorm1d\).*what it does to spike times"),
        (nn.Sequential(), "holds no synapse with a single-spike unit"),
    ],
)
def test_what_has_no_timed_form_is_named_with_the_reason(model, message):
    with pytest.raises(TypeError, match=message):
        stp.to_timed(model, t_max=STEPS)


def test_potential_of_something_that_is_no_unit_is_refused():
    model = nn.Sequential(LINEAR, unit(), nn.Identity())
    with pytest.raises(TypeError, match="return_potential needs a unit"):
        stp.to_timed(model, t_max=STEPS, return_potential=True)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_pool_passes_the_earliest_spike_and_its_gradient(backend):
    times = torch.tensor([[[[5.0, 3.0, INF], [INF, 9.0, INF], [1.0, 1.0, 1.0]]]]).requires_grad_()
    pooled = stp.FirstSpikePool2d(2, backend=backend)(times)
    assert pooled.flatten().tolist() == [3.0]
    (2.5 * pooled).sum().backward()
    want = torch.zeros(3, 3)
    want[0, 1] = 2.5
    assert torch.equal(times.grad[0, 0], want)


@pytest.mark.parametrize("seed", range(4))
def test_pooled_train_is_the_train_of_the_pooled_times(seed):
    torch.manual_seed(seed)
    times = torch.randint(0, STEPS + 9, (3, 2, 5, 5)).double()
    times[times >= STEPS] = INF
    times[:, :, :2, :2] = INF
    pool, results = stp.FirstSpikePool2d(2), []
    error = torch.randn(3, 2, 2, 2).double()
    for clocked_form in (False, True):
        leaf = times.clone().requires_grad_()
        if clocked_form:
            train = pool(stp.spike_train(leaf, STEPS))
            assert train.sum(0).max() == 1
            out = stp.first_spike_times(train)
        else:
            out = pool(leaf)
        results.append((out, torch.autograd.grad(out, leaf, error * torch.isfinite(out))[0]))
    assert torch.isinf(results[0][0]).any() and torch.isfinite(results[0][0]).any()
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_pool_names_bad_input():
    with pytest.raises(ValueError, match="kernel must be at least 1, got 0"):
        stp.FirstSpikePool2d(0)
    with pytest.raises(ValueError, match=r"expected times \[B, C, H, W\] .*got \[3, 4\]"):
        stp.FirstSpikePool2d(2)(torch.zeros(3, 4))
