"""Timed layers of BinaryLinear are the authors' BS4NN program, over 200 single samples."""

import authors_program as authors
import numpy as np
import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp

ETA, MU, GAMMA, THRESHOLD = 0.1, 0.01, 2, 100


def bs4nn_layer(weight, scale):
    outputs, inputs = weight.shape
    synapse = stp.BinaryLinear(inputs, outputs, scale=scale, learn_scale=True, dtype=torch.float64)
    synapse.weight.data = torch.from_numpy(weight.copy())
    neuron = stp.SingleSpikeIF(THRESHOLD, delay=1)
    return stp.Timed(synapse, neuron, t_max=authors.T_MAX, error_norm="sum", beta=ETA)


def input_times(image):
    return torch.from_numpy(authors.encode(image, zero=authors.T_MAX - 1)).double()[None]


def as_authors(times):
    return times.detach()[0].clamp(max=authors.T_MAX).numpy()


@pytest.mark.filterwarnings("ignore::snn_temporal_plugins.SilentLayerWarning")
@pytest.mark.parametrize(
    ("stride", "hidden", "scales"),
    [(3, 60, (11.0, 23.0)), pytest.param(1, 600, (5.0, 9.1), marks=pytest.mark.slow)],
)
def test_firing_times_latent_weights_and_scales_equal_the_authors_over_200_samples(
    real_digits, stride, hidden, scales
):
    images, labels = real_digits
    images = images[:, ::stride, ::stride]
    rng = np.random.default_rng(0)
    w0 = rng.uniform(-2, 5, (hidden, images[0].size))
    w1 = rng.uniform(-2, 5, (10, hidden))
    alpha = np.array(scales)
    first, second = bs4nn_layer(w0, scales[0]), bs4nn_layer(w1, scales[1])
    model = nn.Sequential(first, second)
    loss = stp.RankOrderLoss(authors.T_MAX, gamma=GAMMA, reduction="sum")
    weights = torch.optim.SGD([layer.synapse.weight for layer in model], lr=ETA)
    scaling = torch.optim.SGD([layer.synapse.scale for layer in model], lr=MU)
    updated, flipped = 0, 0
    for image, label in zip(images, labels, strict=True):
        hidden_times = first(input_times(image))
        output_times = second(hidden_times)
        weights.zero_grad()
        error = loss(output_times, torch.tensor([label]))
        if torch.isinf(output_times).all():
            error = error * 0  # the authors' program learns nothing where no output fires
        error.backward()
        before = first.synapse.weight.detach().sign()
        weights.step()
        for layer in model:
            layer.synapse.refresh_scale_grad_()  # the program steps the scales last
        scaling.step()
        updated += bool(second.synapse.weight.grad.any())
        flipped += int((first.synapse.weight.sign() != before).sum())
        expected = authors.bs4nn_sample(
            image, label, w0, w1, alpha, threshold=THRESHOLD, eta=ETA, mu=MU, gamma=GAMMA
        )
        np.testing.assert_array_equal(as_authors(hidden_times), expected[0])
        np.testing.assert_array_equal(as_authors(output_times), expected[1])
        for layer, latent, scale in zip(model, (w0, w1), alpha, strict=True):
            np.testing.assert_allclose(layer.synapse.weight.detach(), latent, rtol=0, atol=1e-10)
            np.testing.assert_allclose(layer.synapse.scale.item(), scale, rtol=0, atol=1e-10)
    assert updated > 100 and flipped > 40  # the samples taught something
