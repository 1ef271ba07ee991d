"""check_neuron: every registered neuron keeps the contract, and every check can fail."""

import json
import sys
import warnings

import pytest
import torch
from broken_neurons import BROKEN, Good, OverBudget

import snn_temporal_plugins as stp
from snn_temporal_plugins import plugins
from snn_temporal_plugins.__main__ import main
from snn_temporal_plugins.plugins import checks
from snn_temporal_plugins.plugins.checks import clocked, hosts, timed

pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated", "ignore:The .grad")
NAMES = [spec.name for spec in stp.list_plugins("neuron")]
CHECKS = [n for m in (clocked, hosts, timed) for n in vars(m) if n.startswith("check_")]


@plugins.parametrize_with_checks(NAMES)
def test_registered_neurons(check):
    check()


@pytest.mark.usefixtures("thirdparty")
def test_neuron_of_the_thirdparty_package():
    results = stp.check_neuron("quadratic_if", on_skip=None)
    assert results.failed == [] and len(results) > 20


def test_a_good_neuron_passes_everything():
    results = stp.check_neuron(Good, on_fail=None, on_skip=None)
    assert results.failed == [], results


@pytest.mark.parametrize("broken", BROKEN)
def test_each_broken_rule_is_seen_by_its_check(broken):
    if broken.breaks.startswith(("check_snntorch", "check_norse", "check_nir")):
        pytest.importorskip(broken.breaks.split("_")[1])
    found = {name.__name__: name for _, name, _ in plugins.neuron_checks_generator(broken)}
    with pytest.raises(Exception) as caught:  # noqa: PT011
        found[broken.breaks]()
    assert not isinstance(caught.value, checks.subject.Skip), caught.value


def test_every_check_has_a_neuron_that_breaks_it():
    assert {broken.breaks for broken in BROKEN} == set(CHECKS)


def test_unexpected_failure_is_raised_with_its_cause():
    with pytest.raises(AssertionError, match=r"OverBudget: check_spike_budget failed: \d+ spikes"):
        stp.check_neuron(OverBudget, on_skip=None)
    with pytest.warns(UserWarning, match="check_spike_budget failed"):
        stp.check_neuron(OverBudget, on_fail="warn", on_skip=None)


@pytest.mark.parametrize("as_function", [False, True])
def test_expected_failures_are_no_failures(as_function):
    expected = {"check_spike_budget": "fires as it likes"}
    given = (lambda neuron: expected) if as_function else expected
    seen = []
    results = stp.check_neuron(
        OverBudget, expected_failed_checks=given, on_skip=None, callback=seen.append
    )
    (result,) = [r for r in results if r["status"] == "xfail"]
    assert seen == results and results.failed == []
    assert result["expected_to_fail"] and result["expected_to_fail_reason"] == "fires as it likes"
    assert "check_spike_budget" in str(results) and "fires as it likes" in str(results)


def test_skips_are_said():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        stp.check_neuron(Good, on_fail=None)
    texts = [str(warning.message) for warning in said]
    assert "Good: check_spike_budget skipped: the neuron has no limit (max_spikes is None)" in texts
    with pytest.raises(AssertionError, match="skipped: the neuron has no limit"):
        stp.check_neuron(Good, on_skip="raise")


def test_missing_hosts_are_skipped(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("snn_temporal_plugins.frontends.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("snntorch", "norse", "norse.torch", "norse.torch.module.snn"):
        monkeypatch.setitem(sys.modules, name, None)
    results = stp.check_neuron(Good, on_skip=None)
    skipped = [r["check_name"] for r in results if r["status"] == "skipped"]
    assert skipped == [
        "check_spike_budget",
        *[n for n in CHECKS if "norse" in n or "snntorch" in n],
    ]


def test_instances_are_checked_as_they_are_and_left_alone():
    neuron = stp.SingleSpikeIF(37.5, delay=1)
    before = torch.random.get_rng_state()
    results = stp.check_neuron(neuron, on_skip=None)
    assert results.failed == [] and torch.equal(torch.random.get_rng_state(), before)
    assert not neuron.state_dict()


def test_a_spec_is_checked_with_its_example():
    spec = stp.NeuronSpec("leaky", NeedsArgument, example={"decay": 0.6})
    assert stp.check_neuron(spec, on_skip=None).failed == []
    with pytest.raises(TypeError):
        stp.check_neuron(NeedsArgument)


class NeedsArgument(Good):
    def __init__(self, decay):
        super().__init__()
        torch.nn.init.constant_(self.decay, decay)


def test_what_is_no_neuron():
    with pytest.raises(TypeError, match="check_neuron: expected a registered name, a NeuronSpec"):
        stp.check_neuron(torch.nn.ReLU)


class Mute(Good):
    def step(self, current, state):
        out, state = super().step(current, state)
        return out * 0, state


class MuteTimes(stp.SingleSpikeIF):
    def spike_times(self, times, weight, **options):
        out, potential = super().spike_times(times, weight, **options)
        return out + float("inf"), potential


def test_a_neuron_that_never_fires_fails():
    assert "does not fire" in str(stp.check_neuron(Mute, on_fail=None, on_skip=None))
    assert "does not fire for weights" in str(
        stp.check_neuron(MuteTimes, on_fail=None, on_skip=None)
    )


def test_command_line(capsys):
    assert main(["check", "single_spike_if", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    status = {row["check"]: row["status"] for row in rows}
    assert status["check_gradient_where_silent"] == "xfail"
    assert main(["check", "broken_neurons:OverBudget"]) == 1
    assert "1 failed" in capsys.readouterr().out
    assert main(["check", "no_such_module:Neuron"]) == 2
    assert "cannot be imported" in capsys.readouterr().err
    assert main(["check", "torch.nn:ReLU"]) == 2
    assert "expected a registered name" in capsys.readouterr().err
