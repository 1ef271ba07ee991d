"""Models in the shape of the hosts' own tutorials, real digits, and one short training run."""

from __future__ import annotations

from functools import cache

import pytest
import torch

import snn_temporal_plugins as stp

STEPS = 12
MARGIN = stp.PotentialMarginLoss(1.0, margin=0.5)
CROSS_ENTROPY = stp.FirstSpikeCrossEntropy(STEPS, tau=1.5)  # where max pooling thins out spikes


@cache
def digits(split, count):
    """Images ``[N, 1, 28, 28]`` and labels of real digits, the first ``count`` of a split."""
    data = stp.datasets.load("mnist", split)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(5))[:count]
    return data.images[order], data.labels[order]


def coded(images, code):
    """Input of every step ``[T, B, ...]``: the image as a current, or one spike per pixel."""
    if code == "constant":
        return images.expand(STEPS, *images.shape)
    return stp.spike_train(stp.latency(images, STEPS), STEPS)


def calibrated(model, run, code, fire=0.3):
    """Return the model, its layers scaled until a share of their units fires on real digits."""
    report = stp.calibrate_(model, coded(digits("train", 40)[0], code), fire=fire, run=run)
    assert all(abs(layer.after - fire) < 0.05 for layer in report.layers.values()), report
    return model


def sizes(count, floors, many, floors_of_many):
    """Cases ``(code, digits, floor of the accuracy)``; those of many digits are slow.

    A code without a floor is left out.
    """
    cases = []
    for number, wanted, marks in ((count, floors, ()), (many, floors_of_many, pytest.mark.slow)):
        for code, floor in zip(("constant", "latency"), wanted, strict=True):
            if floor is not None:
                cases.append(pytest.param(code, number, floor, marks=marks))
    return pytest.mark.parametrize(("code", "count", "floor"), cases)


def train(model, run, loss, *, code, count, batch, rate, backward=torch.Tensor.backward, epochs=1):
    """One epoch (or more) on real digits; accuracy on digits that were not seen, and decisions."""
    images, labels = digits("train", count)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(epochs):
        for i in range(0, count, batch):
            optimizer.zero_grad()
            spikes, potential = run(model, coded(images[i : i + batch], code))
            value = loss.from_spikes(spikes, labels[i : i + batch], potential=potential)
            assert torch.isfinite(value)
            backward(value)
            optimizer.step()
    assert all(torch.isfinite(p).all() for p in model.parameters())
    right, _, decided = accuracy(model, run, code=code)
    return right, decided


def accuracy(model, run, *, code, count=400):
    """Share of unseen digits whose first output spike (then potential) is right, and decisions."""
    images, labels = digits("test", count)
    with torch.no_grad():
        spikes, potential = run(model, coded(images, code))
    times = stp.first_spike_times(spikes)
    decided = MARGIN.predict(times, potential=potential)
    return (decided == labels).double().mean().item(), times, decided


def answer_alike(one, other, run, *, code, count=100):
    """Whether the output spikes of two models come at the same times."""
    times = [accuracy(model, run, code=code, count=count)[1] for model in (one, other)]
    return torch.equal(*times)
