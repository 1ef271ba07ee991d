"""What the authors' published networks score under their own rules (specification of the rules:
authors_program.py). The weights are not part of the project: set SNN_TEMPORAL_PUBLISHED_WEIGHTS to
a folder with W0.npy, W1.npy (S4NN) and W0_binary.npy, W1_binary.npy (BS4NN) as plain arrays, and
SNN_TEMPORAL_DATA to one with the MNIST files.
"""

import os

import authors_program as authors
import numpy as np
import pytest
import torch
from torch import nn

import snn_temporal_plugins as stp
from snn_temporal_plugins.models.published import BS4NN_SCALES

FOLDER = os.environ.get("SNN_TEMPORAL_PUBLISHED_WEIGHTS")
DATA = os.environ.get("SNN_TEMPORAL_DATA")
needs_weights = pytest.mark.skipif(
    not (FOLDER and DATA), reason="needs the authors' weights and the MNIST test set"
)


def network(weights, thresholds=(100, 100)):
    layers = []
    for weight, threshold in zip(weights, thresholds, strict=True):
        synapse = nn.Linear(*reversed(weight.shape), bias=False, dtype=weight.dtype)
        synapse.weight.data = weight
        layers.append(
            stp.Timed(synapse, stp.SingleSpikeIF(threshold, delay=1), t_max=authors.T_MAX)
        )
    return nn.Sequential(*layers).requires_grad_(False)


def run(model, images, zero):
    """Hidden and output times as the authors write them, and the potential at step 253."""
    times = torch.from_numpy(np.stack([authors.encode(image, zero) for image in images]))
    times = times.to(model[0].synapse.weight.dtype)
    hidden = model[0](times.masked_fill(times >= authors.T_MAX, float("inf")))
    output = model[1](hidden)
    readout = (hidden <= authors.T_MAX - 3).to(hidden.dtype) @ model[1].synapse.weight.T
    return [t.clamp(max=authors.T_MAX).long().numpy() for t in (hidden, output)], readout.numpy()


def score(output, readout, labels):
    pairs = zip(output, readout, labels, strict=True)
    return sum(int(label) in authors.decisions(o, r) for o, r, label in pairs)


def run_test_set(model, zero):
    digits = stp.datasets.load("mnist", "test", download=False)
    images, labels = digits.pixels.flatten(1).numpy(), digits.labels.numpy()
    parts = [run(model, images[i : i + 250], zero) for i in range(0, len(images), 250)]
    hidden = np.concatenate([times[0] for times, _ in parts])
    output = np.concatenate([times[1] for times, _ in parts])
    return hidden, output, np.concatenate([readout for _, readout in parts]), labels


@needs_weights
@pytest.mark.slow
def test_published_s4nn_weights_score_9669_with_the_golden_times():
    model = network(stp.models.load_published_weights(FOLDER, "s4nn"))
    hidden, output, readout, labels = run_test_set(model, authors.T_MAX)
    units = list(authors.UNIT_DIGITS)
    assert output[0, units].tolist() == [256, 256, 256, 72, 256, 248, 256, 256, 256, 256]
    assert output[1, units].tolist() == [256, 140, 107, 256, 256, 44, 179, 140, 134, 134]
    assert [(h < 256).sum() for h in hidden[:2]] == [100, 147]
    assert [h.sum() for h in hidden[:2]] == [81742, 74634]
    assert output.sum() == 22_867_248
    assert hidden.sum() == 798_162_558
    assert score(output, readout, labels) == 9669


@needs_weights
@pytest.mark.slow
def test_published_bs4nn_weights_score_9692_with_the_golden_times():
    latent = stp.models.load_published_weights(FOLDER, "bs4nn")
    # whole counts, as in the program: potentials tie exactly, and the lowest digit wins
    model = network([w.sign() for w in latent], [100 / scale for scale in BS4NN_SCALES])
    hidden, output, readout, labels = run_test_set(model, authors.T_MAX - 1)
    assert output[0].tolist() == [256, 256, 256, 248, 256, 256, 256, 191, 256, 256]
    assert output[1].tolist() == [256, 140, 68, 140, 256, 139, 134, 256, 134, 256]
    assert (output[2] == 256).all()
    assert [(h < 256).sum() for h in hidden[:2]] == [237, 283]
    assert [h.sum() for h in hidden[:2]] == [106483, 97336]
    assert output.sum() == 22_417_967
    assert hidden.sum() == 1_021_717_398
    assert score(output, readout, labels) == 9692


def test_arrays_of_the_published_layout_run_as_the_authors_program(tmp_path, real_digits):
    rng = np.random.default_rng(3)
    w0, w1 = rng.normal(0.8, 3, (20, 28, 28)), rng.normal(2, 12, (10, 20, 1))
    np.save(tmp_path / "W0.npy", w0)
    np.save(tmp_path / "W1.npy", w1)
    model = network(stp.models.load_published_weights(tmp_path, "s4nn"))
    images, labels = real_digits[0][:40], real_digits[1][:40]
    (hidden, output), readout = run(model, images, authors.T_MAX)
    units, right = list(authors.UNIT_DIGITS), 0
    for n, image in enumerate(images):
        expected, _ = authors.firing_times(authors.encode(image), w0.reshape(20, 784), 100)
        np.testing.assert_array_equal(hidden[n], expected)
        expected, potential = authors.firing_times(expected, w1[:, :, 0], 100)
        np.testing.assert_array_equal(output[n, units], expected)
        np.testing.assert_allclose(readout[n, units], potential, atol=1e-9)
        digits = {authors.UNIT_DIGITS[k] for k in authors.decisions(expected, potential)}
        right += int(labels[n]) in digits
    assert score(output, readout, labels) == right
    assert (output < 256).any() and (output == 256).any()


def test_bs4nn_arrays_keep_the_order_of_the_digits(tmp_path):
    rng = np.random.default_rng(4)
    w0, w1 = rng.normal(size=(5, 784, 1)), rng.normal(size=(10, 5, 1))
    np.save(tmp_path / "a.npy", w0)
    np.save(tmp_path / "b.npy", w1.astype(np.float32))
    first, last = stp.models.load_published_weights(
        [tmp_path / "a.npy", tmp_path / "b.npy"], "bs4nn"
    )
    np.testing.assert_array_equal(first, w0[:, :, 0])
    np.testing.assert_array_equal(last, w1[:, :, 0].astype(np.float32))
    assert last.dtype == torch.float64


def test_authors_decision_counts_ties_and_reads_the_potential_when_silent():
    potential = np.array([3.0, 9.0, 5.0])
    assert authors.decisions(np.array([40, 25, 25]), potential) == {1, 2}
    assert authors.decisions(np.array([256, 256, 256]), potential) == {1}


def test_a_pickle_is_never_opened(tmp_path):
    np.save(tmp_path / "W0.npy", np.array([{"any": "object"}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"pickles are never opened.*numpy\.save\('W0\.npy'"):
        stp.models.load_published_weights(tmp_path, "s4nn")


def test_wrong_arrays_are_refused(tmp_path):
    load = stp.models.load_published_weights
    with pytest.raises(ValueError, match="layout must be one of 's4nn', 'bs4nn'; got 's5nn'"):
        load(tmp_path, "s5nn")
    with pytest.raises(FileNotFoundError, match=r"W0\.npy"):
        load(tmp_path, "s4nn")
    with pytest.raises(ValueError, match="path must name 2 files, got 3"):
        load(["a", "b", "c"], "s4nn")
    np.save(tmp_path / "W0.npy", np.zeros((5, 784)))
    np.save(tmp_path / "W1.npy", np.zeros((10, 6, 1)))
    with pytest.raises(ValueError, match=r"W0\.npy must have shape \[5, 28, 28\], got \[5, 784\]"):
        load(tmp_path, "s4nn")
    np.save(tmp_path / "W0.npy", np.zeros((5, 28, 28)))
    with pytest.raises(ValueError, match=r"W1\.npy must have shape \[10, 5, 1\], got \[10, 6, 1\]"):
        load(tmp_path, "s4nn")
    np.save(tmp_path / "W0.npy", np.zeros((5, 28, 28), dtype=complex))
    with pytest.raises(ValueError, match="does not hold one array of numbers"):
        load(tmp_path, "s4nn")
