"""Error spikes in autograd learn exactly as the engine does."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

SIZES, STEPS, RATE = (9, 14, 12, 4), 7, 0.13


def stack(weights, reset="none"):
    layers = [stp.HerdingQuantizer()]
    for k, weight in enumerate(weights):
        layer = stp.CountLinear(*reversed(weight.shape), bias=False).double()
        layer.weight.data.copy_(weight)
        layers += [layer, stp.HerdingReLU()]
        if k < len(weights) - 1:
            layers.append(stp.HerdedErrors(reset=reset))
    return layers


def run(layers, x):
    out = x.expand(STEPS, *x.shape)
    for layer in layers:
        out = layer(out)
        out = out[0] if isinstance(out, tuple) else out
    return out


def problem(samples=12):
    x, labels = torch.rand(samples, SIZES[0]).double(), torch.randint(0, SIZES[-1], (samples,))
    weights = [torch.randn(o, i).double() * 1.7 / i**0.5 for i, o in pairwise(SIZES)]
    return x, labels, weights


def test_any_optimiser_learns_what_the_engine_learns():
    pytest.importorskip("numba")
    x, labels, weights = problem()
    engine = stp.HerdingMLP(SIZES, STEPS, lr=RATE).double()
    for layer, weight in zip(engine.layers, weights, strict=True):
        layer.weight.data.copy_(weight)
    layers = stack(weights)
    parameters = [p for layer in layers for p in layer.parameters()]
    optimiser = torch.optim.SGD(parameters, lr=RATE)
    for sample, label in zip(x.split(1), labels.split(1), strict=True):
        optimiser.zero_grad()
        stp.SpikeErrorLoss()(run(layers, sample), label).backward()
        optimiser.step()
    engine.learn(x, labels)
    for weight, parameter, start in zip(engine.weights, parameters, weights, strict=True):
        torch.testing.assert_close(parameter.detach(), weight, atol=1e-12, rtol=0)
        assert (weight != start).any()
    residue = torch.cat([la.residue for la in layers if isinstance(la, stp.HerdedErrors)], 1)
    torch.testing.assert_close(residue[0], engine.residue, atol=1e-12, rtol=0)


def test_every_place_of_the_batch_keeps_its_own_residue():
    g = 0.3 * torch.randn(3, STEPS, 5, 2).double()
    together, alone = stp.HerdedErrors(), stp.HerdedErrors()
    for step in g:
        spikes = together.herd(step)
        assert torch.equal(spikes[:, 3:4], alone.herd(step[:, 3:4]))
    before = together.residue.clone()
    together.herd(g[0][:, :2])
    assert torch.equal(together.residue[2:], before[2:]), "a smaller batch forgets nothing"
    assert not torch.equal(together.residue[:2], before[:2])


def test_sum_of_the_error_spikes_is_the_sum_of_the_errors_and_the_residue():
    g, module = torch.randn(STEPS, 5, 2).double(), stp.HerdedErrors()
    for _ in range(4):
        before = module.residue.clone() if module.residue.numel() else 0.0
        spikes = module.herd(g)
        torch.testing.assert_close(spikes.sum(0) + module.residue, g.sum(0) + before)
    assert torch.equal(spikes, spikes.round())


def test_small_errors_get_through_unless_residues_start_at_zero():
    small = torch.full((STEPS, 500, 1), 0.04)
    sent = {}
    for reset in ("none", "random", "zero"):
        module = stp.HerdedErrors(reset=reset)
        sent[reset] = sum(module.herd(small).mean(1).sum().item() for _ in range(10))
    assert sent["zero"] == 0
    assert sent["none"] == pytest.approx(10 * 7 * 0.04, abs=0.5)
    assert sent["random"] == pytest.approx(10 * 7 * 0.04, abs=0.2)


def test_weight_gradient_is_the_product_of_the_counts():
    x, layer = torch.randint(-1, 3, (STEPS, 6, 5)).double(), stp.CountLinear(5, 3).double()
    x.requires_grad_()
    errors = torch.randn(STEPS, 6, 3).double()
    layer(x).backward(errors)
    total, count = errors.sum(0), x.detach().sum(0)
    torch.testing.assert_close(layer.weight.grad, total.T @ count / STEPS**2)
    torch.testing.assert_close(layer.bias.grad, total.sum(0) / STEPS)
    torch.testing.assert_close(x.grad, errors @ layer.weight.detach())
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_loss_is_half_the_squared_error_and_decides_by_counts():
    spikes = torch.tensor([[[2.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]]])
    loss = stp.SpikeErrorLoss()
    assert loss(spikes, torch.tensor([1])).item() == (1.5**2 + 1 + 0.5**2) / 2
    assert loss.predict(spikes).tolist() == [0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stp.HerdedErrors(reset="never"), "reset must be one of 'none', 'random', 'zero'"),
        (lambda: stp.HerdedErrors()(torch.ones(3)), r"HerdedErrors: x must have shape"),
        (lambda: stp.CountLinear(2, 3)(torch.ones(2)), "CountLinear: input must have shape"),
        (
            lambda: stp.SpikeErrorLoss()(torch.ones(2, 3), torch.tensor([0, 1])),
            r"spikes must have shape \[T, B, C\], got \[2, 3\]",
        ),
        (
            lambda: stp.SpikeErrorLoss()(torch.ones(2, 1, 3), torch.tensor([3])),
            r"targets must lie in 0 ... 2, got 3",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_repr_shows_the_reset():
    assert "reset='random'" in repr(stp.HerdedErrors(reset="random"))
