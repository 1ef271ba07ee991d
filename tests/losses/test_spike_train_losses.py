"""Losses on whole trains: hand values, derivatives, decisions, and what they refuse."""

import pytest
import torch

import snn_temporal_plugins as stp

TAU = 2.5


def test_distance_is_half_the_squared_difference_of_pscs():
    out = torch.randn(4, 3, 5).double()
    labels = torch.tensor([2, 0, 4])
    loss = stp.SpikeTrainDistance(TAU, pattern=(0, 1, 1), reduction="none")
    target = torch.zeros(4)
    for t, spike in enumerate((0, 1, 1, 0)):  # repeated to the length of the window
        before = target[t - 1] if t else 0.0
        target[t] = before + (spike - before) / TAU
    want = torch.zeros(3).double()
    for b, label in enumerate(labels):
        for c in range(5):
            wanted = target if c == label else torch.zeros(4)
            want[b] += 0.5 * sum((out[t, b, c] - wanted[t]) ** 2 for t in range(4))
    torch.testing.assert_close(loss(out, labels), want, atol=1e-6, rtol=0)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient_is_the_difference(reduction):
    out = torch.randn(5, 3, 4).double().requires_grad_()
    labels = torch.tensor([1, 3, 0])
    loss = stp.SpikeTrainDistance(TAU, reduction=reduction)
    (grad,) = torch.autograd.grad(loss(out, labels), out)
    wanted = torch.zeros(5, 3, 4).double()
    wanted[:, range(3), labels] = loss.target_psc(5, wanted).unsqueeze(1)
    torch.testing.assert_close(grad, (out - wanted).detach() / (3 if reduction == "mean" else 1))


def test_spikes_are_filtered_first():
    spikes = (torch.rand(6, 2, 3) < 0.4).double()
    labels = torch.tensor([2, 1])
    direct = stp.SpikeTrainDistance(TAU, input="spikes")
    psc = stp.SpikeTrainDistance(TAU)
    filtered = stp.PSC(TAU)(spikes)
    torch.testing.assert_close(direct(spikes, labels), psc(filtered, labels))
    torch.testing.assert_close(direct.from_spikes(spikes, labels), psc(filtered, labels))
    torch.testing.assert_close(psc.from_spikes(spikes, labels), psc(filtered, labels))
    assert torch.equal(direct.predict(spikes), psc.predict(filtered))


def test_default_patterns():
    loss = stp.SpikeTrainDistance(TAU, filter_target=0)
    assert loss.target_psc(5, torch.zeros(())).tolist() == [0, 1, 1, 1, 1]
    assert loss.target_psc(10, torch.zeros(())).tolist() == [0, 1] * 5
    assert loss.target_psc(7, torch.zeros(())).tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_target_trains_reach_zero_at_themselves():
    train = (torch.rand(6, 2, 3) < 0.4).float()
    loss = stp.SpikeTrainDistance(TAU, input="spikes")
    assert loss(train, train).item() == 0.0
    assert loss(train, 1 - train).item() > 0
    twice = stp.SpikeTrainDistance(TAU, input="spikes", filter_target=2)
    assert twice(train, train).item() > 0, "no train reaches a target that is filtered twice"


def test_hinge_counts_only_what_is_missing_or_too_much():
    counts = torch.tensor([[2.0, 5.0, 3.0], [16.0, 1.0, 4.5]]).double()
    out = counts.expand(10, 2, 3) / 10
    loss = stp.SpikeCountHinge(desired=7, undesired=3, reduction="none")
    first = (7 - 2) ** 2 + (5 - 3) ** 2
    second = (4.5 - 3) ** 2
    want = torch.tensor([first, second]).double() / (2 * 10)
    torch.testing.assert_close(loss(out, torch.tensor([0, 0])), want)


def test_hinge_gradient_is_delta_in_every_step():
    out = torch.full((10, 1, 2), 0.45).double().requires_grad_()
    loss = stp.SpikeCountHinge(desired=7, undesired=3)
    (grad,) = torch.autograd.grad(loss(out, torch.tensor([1])), out)
    torch.testing.assert_close(
        grad[:, 0], torch.tensor([(4.5 - 3) / 10, (4.5 - 7) / 10]).double().expand(10, 2)
    )
    assert torch.autograd.gradcheck(lambda o: loss(o, torch.tensor([1])), out)


@pytest.mark.parametrize("loss", [stp.SpikeTrainDistance(TAU), stp.SpikeCountHinge()])
def test_decision_is_the_largest_sum_and_silence_decides_nothing(loss):
    out = torch.zeros(4, 3, 5)
    out[1, 0, 3], out[2, 0, 1] = 0.9, 0.8
    out[0, 1, 4], out[3, 1, 2] = 0.5, 0.5  # a tie: the lowest index
    decided = loss.predict(out)
    assert decided.tolist() == [3, 2, -1] and decided.dtype == torch.int64


def test_an_early_spike_counts_more_than_a_late_one():
    spikes = torch.zeros(5, 1, 2)
    spikes[4, 0, 0] = spikes[1, 0, 1] = 1
    assert stp.SpikeTrainDistance(TAU, input="spikes").predict(spikes).item() == 1


@pytest.mark.parametrize("loss", [stp.SpikeTrainDistance(TAU), stp.SpikeCountHinge(9, 2)])
def test_bad_outputs_and_targets(loss):
    name, out = type(loss).__name__, torch.zeros(4, 2, 3)
    with pytest.raises(ValueError, match=rf"{name}: outputs must have shape \[T, B, C\]"):
        loss(out[0], torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=rf"{name}: targets must lie in 0 ... 2, got 3"):
        loss(out, torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=rf"{name}: targets must have shape \[B=2\]"):
        loss(out, torch.tensor([0]))
    with pytest.raises(ValueError, match="spikes must hold only 0 and 1"):
        loss.from_spikes(out + 0.5, torch.tensor([0, 1]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: stp.SpikeTrainDistance(0.5), "tau_syn must be at least 1"),
        (lambda: stp.SpikeTrainDistance(TAU, input="mem"), "input must be one of"),
        (lambda: stp.SpikeTrainDistance(TAU, filter_target=3), "filter_target must be one of"),
        (lambda: stp.SpikeTrainDistance(TAU, pattern=(0, 2)), "pattern must hold 0 and 1"),
        (lambda: stp.SpikeTrainDistance(TAU, pattern=()), "pattern must hold 0 and 1"),
        (lambda: stp.SpikeTrainDistance(TAU, reduction="max"), "reduction must be one of"),
        (lambda: stp.SpikeCountHinge(0), "desired must be positive"),
        (lambda: stp.SpikeCountHinge(2, 2), "undesired must be below desired"),
    ],
)
def test_bad_options(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_target_trains_of_another_shape():
    with pytest.raises(ValueError, match="target trains must have the shape of the outputs"):
        stp.SpikeTrainDistance(TAU)(torch.zeros(4, 2, 3), torch.zeros(5, 2, 3))


def test_reprs():
    assert "filter_target=2" in repr(stp.SpikeTrainDistance(TAU, filter_target=2))
    assert "desired=15, undesired=3" in repr(stp.SpikeCountHinge())
