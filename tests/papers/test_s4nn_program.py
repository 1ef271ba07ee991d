"""S4NN with delay=1 is the authors' program: firing times and weights over 200 single samples."""

import runpy
from pathlib import Path

import authors_program as authors
import numpy as np
import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

ETA, DECAY, GAMMA, THRESHOLD = 0.2, 1e-6, 3, 100


def s4nn_layer(weight, **options):
    outputs, inputs = weight.shape
    synapse = nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)
    synapse.weight.data = torch.from_numpy(weight.copy())
    return stp.Timed(synapse, stp.SingleSpikeIF(THRESHOLD, delay=1), t_max=authors.T_MAX, **options)


def input_times(image, zero=authors.T_MAX):
    times = torch.from_numpy(authors.encode(image, zero)).double()[None]
    return times.masked_fill(times >= authors.T_MAX, float("inf"))


def as_authors(times):
    return times.detach()[0].clamp(max=authors.T_MAX).numpy()


@pytest.mark.filterwarnings("ignore::snn_temporal_plugins.SilentLayerWarning")
@pytest.mark.parametrize(("stride", "hidden", "high"), [(3, 40, 25.0), (1, 400, 5.0)])
def test_firing_times_and_weights_equal_the_authors_over_200_samples(
    real_digits, stride, hidden, high
):
    images, labels = real_digits
    images = images[:, ::stride, ::stride]
    rng = np.random.default_rng(0)
    w0 = rng.uniform(0, high, (hidden, images[0].size))
    w1 = rng.uniform(0, 48, (10, hidden))
    options = {"error_norm": "sum", "beta": ETA}
    first, second = s4nn_layer(w0, **options), s4nn_layer(w1, **options)
    model = nn.Sequential(first, second)
    loss = stp.RankOrderLoss(authors.T_MAX, gamma=GAMMA)
    optimizer = torch.optim.SGD(model.parameters(), lr=ETA)
    updated, silent = 0, 0
    for image, label in zip(images, labels, strict=True):
        hidden_times = first(input_times(image))
        output_times = second(hidden_times)
        optimizer.zero_grad()
        loss(output_times, torch.tensor([label])).backward()
        before = second.synapse.weight.detach().clone()
        optimizer.step()
        updated += not torch.equal(before, second.synapse.weight)
        for weight in model.parameters():
            weight.data *= 1 - ETA * DECAY
        expected = authors.s4nn_sample(
            image, label, w0, w1, threshold=THRESHOLD, eta=ETA, decay=DECAY, gamma=GAMMA
        )
        np.testing.assert_array_equal(as_authors(hidden_times), expected[0])
        np.testing.assert_array_equal(as_authors(output_times), expected[1])
        np.testing.assert_allclose(first.synapse.weight.detach(), w0, rtol=0, atol=1e-10)
        np.testing.assert_allclose(second.synapse.weight.detach(), w1, rtol=0, atol=1e-10)
        silent += expected[1].min() == authors.T_MAX
    assert updated > 150 and silent < 50  # the samples taught something


def test_targets_of_the_program():
    fired = np.array([20, 21, 40, 256, 23])
    # the label is late: it should fire first, and who is within gamma = 3 should wait
    assert authors.target_times(fired, 2, 3, True).tolist() == [23, 23, 20, 256, 23]
    silent = np.full(3, 256)
    assert authors.target_times(silent, 1, 3, True).tolist() == [256, 253, 256]
    assert authors.target_times(silent, 1, 3, False).tolist() == [256, 256, 256]


def test_yardstick_of_the_benchmarks_equals_the_literal_program(real_digits):
    path = Path(__file__).parents[2] / "benchmarks" / "s4nn_program.py"
    program = runpy.run_path(str(path))["Program"]
    images, labels = real_digits
    rng = np.random.default_rng(5)
    w0, w1 = rng.uniform(0, 25, (30, 100)), rng.uniform(0, 48, (10, 30))
    fast = program(w0.copy(), w1.copy(), threshold=THRESHOLD, eta=ETA, decay=DECAY, gamma=GAMMA)
    for image, label in zip(images[:60, ::3, ::3], labels, strict=False):
        expected = authors.s4nn_sample(
            image, label, w0, w1, threshold=THRESHOLD, eta=ETA, decay=DECAY, gamma=GAMMA
        )
        for got, wanted in zip(fast.train(image, label), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)
        np.testing.assert_allclose(fast.weights[0], w0, atol=1e-10)
        np.testing.assert_allclose(fast.weights[1], w1, atol=1e-10)
