"""Losses on first spikes: hand values, the direction of every gradient, and silence."""

import math

import pytest
import torch

import snn_temporal_plugins as stp

INF = float("inf")
LOSSES = {
    "rank": lambda **k: stp.RankOrderLoss(40, gamma=3, **k),
    "cross_entropy": lambda **k: stp.FirstSpikeCrossEntropy(40, tau=7.0, **k),
    "target": lambda **k: stp.TargetTimeLoss(40, label_time=2.0, other_time=30.0, **k),
    "margin": lambda **k: stp.PotentialMarginLoss(1.3, **k),
}


@pytest.fixture(params=LOSSES)
def make(request):
    return LOSSES[request.param]


def outputs():
    times = torch.tensor([[9.0, 5.0, INF], [INF, INF, INF], [4.0, 4.0, 30.0]]).double()
    potential = torch.tensor([[1.4, 1.5, 0.2], [0.1, 0.3, 0.2], [1.6, 1.35, 1.31]]).double()
    return times, potential, torch.tensor([0, 2, 1])


def test_all_silent_is_finite_in_value_and_gradient(make):
    times = torch.full((2, 3), INF).double().requires_grad_()
    potential = torch.zeros(2, 3).double().requires_grad_()
    loss = make()(times, torch.tensor([0, 2]), potential=potential)
    loss.backward()
    assert math.isfinite(loss.item())
    pulled = potential.grad if times.grad is None or not times.grad.any() else -times.grad
    assert torch.isfinite(pulled).all()
    assert (pulled[[0, 1], [0, 2]] != 0).all(), "a silent label must be pulled"


@pytest.mark.parametrize("name", ["rank", "cross_entropy", "target"])
def test_an_earlier_correct_spike_lowers_the_loss(name):
    loss = LOSSES[name]()
    values = [loss(torch.tensor([[t, 6.0, 9.0]]), torch.tensor([0])) for t in (INF, 30, 12, 8)]
    assert values == sorted(values, reverse=True) and values[-1] < values[0]


def test_a_larger_potential_of_the_label_lowers_the_margin_loss():
    loss, times = LOSSES["margin"](), torch.tensor([[9.0, 6.0]])
    values = [
        loss(times, torch.tensor([0]), potential=torch.tensor([[v, 1.4]])) for v in (0.2, 0.7, 1.2)
    ]
    assert values == sorted(values, reverse=True) and values[-1] < values[0]


@pytest.mark.parametrize("name", ["rank", "cross_entropy", "target"])
def test_a_silent_output_is_only_asked_to_fire_earlier(name):
    times, _, targets = outputs()
    times.requires_grad_()
    LOSSES[name]()(times, targets).backward()
    assert (times.grad[torch.isinf(times)] >= 0).all()
    assert times.grad[1, 2] > 0  # the silent label


@pytest.mark.parametrize(
    ("times", "label", "want"),
    [
        ([5.0, 9.0, 30.0], 0, [5, 9, 30]),  # right, and all others far enough
        ([5.0, 7.0, 6.0], 0, [5, 8, 8]),  # right, two within gamma
        ([5.0, 9.0, 7.0], 1, [8, 5, 8]),  # wrong: the label shall be first
        ([39.0, 39.0, 40.0], 1, [40, 39, 40]),  # targets never pass t_max
        ([40.0, 40.0, 40.0], 2, [40, 40, 37]),  # nobody fired
    ],
)
def test_relative_targets_of_rank_order(times, label, want):
    loss = stp.RankOrderLoss(40, gamma=3)
    got = loss.target_times(torch.tensor([times]), torch.tensor([label]))
    assert got.tolist() == [want]


def test_rank_order_value_and_gradient_by_hand():
    times = torch.tensor([[5.0, 9.0, 7.0]]).double().requires_grad_()
    loss = stp.RankOrderLoss(40, gamma=3, reduction="sum")(times, torch.tensor([1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.5 * (3**2 + 4**2 + 1**2) / 40**2)
    torch.testing.assert_close(times.grad, torch.tensor([[-3.0, 4.0, -1.0]]).double() / 40**2)


def test_cross_entropy_gradient_equals_finite_differences():
    times = (30 * torch.rand(4, 3)).double().requires_grad_()
    loss = stp.FirstSpikeCrossEntropy(40.0, tau=7.0)
    assert torch.autograd.gradcheck(lambda t: loss(t, torch.tensor([0, 2, 1, 1])), times)


def test_target_time_gradient_equals_finite_differences():
    times = (36 * torch.rand(4, 3) + 0.3).double().requires_grad_()
    loss = stp.TargetTimeLoss(40.0, label_time=2.0, other_time=30.0)
    assert torch.autograd.gradcheck(lambda t: loss(t, torch.tensor([0, 2, 1, 1])), times)


def test_margin_loss_gradient_is_the_stated_error():
    times = torch.tensor([[9.0, 5.0, INF], [4.0, 4.0, INF]]).double()
    potential = torch.tensor([[1.4, 1.5, -1.2], [1.7, 0.9, 0.3]]).double().requires_grad_()
    loss = stp.PotentialMarginLoss(
        1.3, margin=0.8, temperature=0.25, push=0.3, floor=0.02, reduction="sum"
    )
    loss(times, torch.tensor([0, 1]), potential=potential).backward()

    def sigma(v):
        return 1 / (1 + math.exp(-(v - 1.3 + 0.8) / 0.25))

    want = [
        [-1.0, sigma(1.5), 0.0],  # label late: full pull; the last error is below the floor
        [sigma(1.7), -0.3 * sigma(1.7), sigma(0.3)],  # label first in a tie
    ]
    torch.testing.assert_close(potential.grad, torch.tensor(want).double())


def test_margin_loss_value_has_the_gradient_of_its_smooth_part():
    times, v = torch.tensor([[9.0, 5.0]]), torch.tensor([[0.9, 1.5]]).double()
    loss = stp.PotentialMarginLoss(1.3, margin=0.8, temperature=0.25)
    step = torch.tensor([[0.0, 1e-5]]).double()
    values = [loss(times, torch.tensor([0]), potential=v + s * step).item() for s in (1, -1)]
    slope = (values[0] - values[1]) / 2e-5
    assert slope == pytest.approx(1 / (1 + math.exp(-4.0)), rel=1e-6)


def test_trains_and_times_give_the_same_loss_and_silent_labels_learn_by_their_potential(make):
    times, potential, targets = outputs()
    train = stp.spike_train(times, 40).requires_grad_()
    recorded = potential.expand(40, -1, -1).clone().requires_grad_()
    loss = make(reduction="sum")
    value = loss.from_spikes(train, targets, potential=recorded)
    torch.testing.assert_close(value, loss(times, targets, potential=potential))
    value.backward()
    assert (recorded.grad[-1, 1, 2] < 0).all()  # the silent label of sample 1


def test_reductions(make):
    times, potential, targets = outputs()
    each = make(reduction="none")(times, targets, potential=potential)
    assert each.shape == (3,)
    total = make(reduction="sum")(times, targets, potential=potential)
    mean = make()(times, targets, potential=potential)
    torch.testing.assert_close(total, each.sum())
    torch.testing.assert_close(mean, each.mean())


def test_predict_takes_the_earliest_then_the_potential_then_the_index(make):
    times, potential, _ = outputs()
    assert make().predict(times, potential=potential).tolist() == [1, 1, 0]
    assert make().predict(times).tolist() == [1, -1, 0]
    level = torch.ones_like(potential)
    assert make().predict(times, potential=level).tolist() == [1, 0, 0]
    assert make().predict(times).dtype == torch.int64


def test_predict_reads_a_recorded_potential_at_the_spike():
    train = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).view(2, 1, 2)
    recorded = torch.tensor([[1.5, 1.9], [-INF, -INF]]).view(2, 1, 2)
    loss = stp.RankOrderLoss(2, gamma=1)
    assert loss.predict(stp.first_spike_times(train), potential=recorded).tolist() == [1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t, y: LOSSES["rank"]()(t[0], y), ValueError, r"times must have shape \[B, C\]"),
        (lambda t, y: LOSSES["rank"]()(t[..., None], y), ValueError, r"Take the first spike"),
        (
            lambda t, y: LOSSES["rank"]()(t, y + 1),
            ValueError,
            r"targets must lie in 0 ... 2, got 3",
        ),
        (lambda t, y: LOSSES["rank"]()(t, y - 1), ValueError, r"0 ... 2, got -1"),
        (lambda t, y: LOSSES["rank"]()(t, y.float()), TypeError, "class indices of an integer"),
        (lambda t, y: LOSSES["rank"]()(t, y[:2]), ValueError, r"shape \[B=3\], got \[2\]"),
        (lambda t, y: LOSSES["rank"]()(t, [0, 1, 2]), TypeError, "targets must be a tensor"),
        (lambda t, y: LOSSES["rank"]()(t - 9, y), ValueError, "times must not be negative"),
        (lambda t, y: LOSSES["margin"]()(t, y), ValueError, "potential is missing"),
        (
            lambda t, y: LOSSES["margin"]()(t, y, potential=t[:2]),
            ValueError,
            r"potential must have shape \[3, 3\]",
        ),
        (lambda t, y: LOSSES["rank"](reduction="max"), ValueError, "reduction must be one of"),
        (lambda t, y: stp.RankOrderLoss(0), ValueError, "t_max must be at least 1, got 0"),
        (lambda t, y: stp.RankOrderLoss(5, gamma=5), ValueError, "gamma must be below t_max=5"),
        (lambda t, y: stp.FirstSpikeCrossEntropy(5, tau=0), ValueError, "tau must be positive"),
        (
            lambda t, y: stp.TargetTimeLoss(5, label_time=4, other_time=3),
            ValueError,
            "expected label_time < other_time <= t_max, got label_time=4, other_time=3",
        ),
    ],
)
def test_bad_calls_are_named(call, error, message):
    times, _, targets = outputs()
    with pytest.raises(error, match=message):
        call(times, targets)


def test_repr_tells_the_constants():
    assert repr(LOSSES["rank"]()) == "RankOrderLoss(t_max=40, gamma=3, reduction='mean')"
    assert "tau=7" in repr(LOSSES["cross_entropy"]())
    assert "label_time=2, other_time=30" in repr(LOSSES["target"]())
    assert "threshold=1.3, margin=1.3, temperature=0.26" in repr(LOSSES["margin"]())
