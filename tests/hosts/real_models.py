"""Models in the shape of the hosts' own tutorials, real digits, and one short training run."""

from __future__ import annotations

from functools import cache

import torch

import snn_temporal_plugins as stp

STEPS = 12


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


def scale_until_firing_(neurons, run, fire=0.3):
    """Scale weights, from the first layer on, until a share of the units fires.

    ``neurons`` holds pairs of a synapse and the neuron behind it; ``run`` runs the model.
    """
    for synapse, neuron in neurons:
        low, high = 1e-3, 1e3
        with torch.no_grad():
            start = {p: p.clone() for p in synapse.parameters()}
            for _ in range(12):
                factor = (low * high) ** 0.5
                for parameter, value in start.items():
                    parameter.copy_(value * factor)
                share = _share_that_fires(neuron, run)
                low, high = (factor, high) if share < fire else (low, factor)


def _share_that_fires(neuron, run):
    fired = []

    def watch(module, arguments, result):
        out = result[0] if isinstance(result, tuple) else result
        fired.append(out.detach() != 0)

    handle = neuron.register_forward_hook(watch)
    run()
    handle.remove()
    outs = torch.stack(fired) if len(fired) > 1 else fired[0]
    return outs.any(0).float().mean().item()


def train(model, run, loss, *, code, count, batch, rate, backward=torch.Tensor.backward, epochs=1):
    """One epoch (or more) on real digits; accuracy on digits that were not seen."""
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
    return accuracy(model, run, code=code)


def accuracy(model, run, *, code, count=400):
    """Share of unseen digits whose first output spike (then potential) is right, and decisions."""
    images, labels = digits("test", count)
    with torch.no_grad():
        spikes, potential = run(model, coded(images, code))
    times = stp.first_spike_times(spikes)
    decided = stp.FirstSpikeCrossEntropy(STEPS, tau=1.5).predict(times, potential=potential)
    return (decided == labels).double().mean().item(), times, decided
