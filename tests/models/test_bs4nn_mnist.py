"""The shipped binary network classifies real digits out of the box."""

import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins.models import bs4nn


def digits():
    test = stp.datasets.load("mnist", "test")
    return test.images[:1000], test.labels[:1000]


def test_it_reads_real_digits_by_their_first_spikes():
    images, labels = digits()
    times, potential = stp.models.bs4nn_mnist()(images)
    right = stp.metrics.first_spike_accuracy(times, labels)
    assert right > 0.95 and torch.isfinite(times).any(1).all()
    assert torch.equal(potential, potential.round())  # whole counts


def test_the_late_drive_only_speaks_where_nobody_did():
    images, labels = digits()
    driven, _ = stp.models.bs4nn_mnist()(images)
    plain, potential = stp.models.bs4nn_mnist(late_drive=False)(images)
    early = plain.min(1).values < bs4nn.LATE_DRIVE[0]
    assert torch.equal(plain[early].min(1).values, driven[early].min(1).values)
    assert (driven.min(1).values <= plain.min(1).values).all()
    right = stp.metrics.first_spike_accuracy(plain, labels, potential=potential, silent="potential")
    assert right > 0.95


def test_early_decision_equals_the_whole_run():
    images, _ = digits()
    model = stp.models.bs4nn_mnist(late_drive=False)
    times, potential = model(images)
    decision = stp.first_spike_decision(model[2:], model[:2](images))
    assert torch.equal(decision.time, times.min(1).values)
    loss = stp.RankOrderLoss(bs4nn.T_MAX)
    assert torch.equal(decision.label, loss.predict(times, potential=potential))


def test_the_file_is_small_and_the_weights_take_one_bit():
    model = stp.models.bs4nn_mnist()
    weights = [layer.synapse.weight for layer in model[2:]]
    assert all(set(w.unique().tolist()) == {-1.0, 1.0} for w in weights)
    floats = sum(4 * weight.numel() for weight in weights)
    assert sum(buffer.nbytes for buffer in model.buffers()) <= floats / 31
    assert bs4nn.FILE.stat().st_size < 70_000
