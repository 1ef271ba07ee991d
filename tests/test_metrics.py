"""Counting decisions: a table of small cases with the answer written by hand."""

import math

import pytest
import torch

import snn_temporal_plugins as stp

INF = float("inf")
ACCURACY = stp.metrics.first_spike_accuracy

# times, potential, label -> right under (strict, potential, any), silent decided by potential
CASES = [
    ([3.0, 5.0], [1.2, 1.4], 0, (True, True, True)),
    ([3.0, 5.0], [1.2, 1.4], 1, (False, False, False)),
    ([4.0, 4.0], [1.2, 1.4], 1, (False, True, True)),
    ([4.0, 4.0], [1.2, 1.4], 0, (False, False, True)),
    ([4.0, 4.0], [1.3, 1.3], 0, (False, True, True)),  # equal potentials: the lowest index
    ([INF, INF], [0.2, 0.6], 1, (True, True, True)),
    ([INF, INF], [0.2, 0.6], 0, (False, False, False)),
    ([INF, INF], [0.6, 0.6], 0, (False, True, True)),  # a tie is not a correct answer
]


@pytest.mark.parametrize(("times", "potential", "label", "right"), CASES)
def test_every_way_of_counting(times, potential, label, right):
    times, potential = torch.tensor([times]), torch.tensor([potential])
    for ties, want in zip(("strict", "potential", "any"), right, strict=True):
        got = ACCURACY(
            times, torch.tensor([label]), potential=potential, ties=ties, silent="potential"
        )
        assert got == want
        silent = ACCURACY(times, torch.tensor([label]), potential=potential, ties=ties)
        assert silent == (want and torch.isfinite(times).any().item())


def test_report_adds_up_batches():
    report = stp.metrics.FirstSpikeReport(t_max=40)
    for times, potential, label, _ in CASES:
        hidden = torch.tensor([[2.0, 4.0, INF]])
        report.update(
            torch.tensor([times]),
            torch.tensor([label]),
            torch.tensor([potential]),
            layers={"hidden": hidden},
        )
    got = report.compute()
    n = len(CASES)
    for k, name in enumerate(("strict", "potential", "authors")):
        assert got[name] == sum(right[k] for *_, right in CASES) / n
    assert got["strict_silent_wrong"] == 1 / n
    assert got["ties"] == 3 / n and got["silent"] == 3 / n
    assert got["decision_time"] == (3 + 3 + 4 + 4 + 4) / 5
    assert got["decision_time_all"] == (18 + 3 * 40) / n
    assert got["spikes:hidden"] == (1 + 1 + 2 + 2 + 2 + 2 + 2 + 2) / n
    assert got["samples"] == n


def test_report_without_potential_counts_silence_as_wrong():
    report = stp.metrics.FirstSpikeReport()
    report.update(torch.tensor([[INF, INF], [2.0, 9.0]]), torch.tensor([0, 0]))
    got = report.compute()
    assert got["strict"] == got["strict_silent_wrong"] == 0.5
    assert "potential" not in got and "decision_time_all" not in got


def test_report_prints_a_table():
    report = stp.metrics.FirstSpikeReport(t_max=40)
    assert repr(report) == "FirstSpikeReport(samples=0)"
    with pytest.raises(ValueError, match="no samples"):
        report.compute()
    report.update(
        torch.tensor([[3.0, 5.0]]), torch.tensor([0]), layers={"hidden": torch.tensor([[1.0]])}
    )
    text = str(report)
    assert "correct, strict (a tie is wrong)      100.00 %" in text
    assert "spikes before decision, hidden" in text and "(silent = t_max)" in text


def test_nobody_ever_fired_has_no_decision_time():
    report = stp.metrics.FirstSpikeReport()
    report.update(torch.full((2, 3), INF), torch.tensor([0, 1]))
    assert math.isnan(report.compute()["decision_time"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ties": "potential"}, 'ties="potential" needs the argument potential'),
        ({"silent": "potential"}, 'silent="potential" needs the argument potential'),
        ({"ties": "first"}, "ties must be one of 'strict', 'potential', 'any'; got 'first'"),
        ({"silent": "right"}, "silent must be one of 'wrong', 'potential'; got 'right'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ACCURACY(torch.zeros(2, 3), torch.tensor([0, 1]), **options)
