"""Running the checks, and what they found."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch

from ...neurons.base import ClockedNeuron, TimedNeuron
from .._table import table
from . import clocked, hosts, timed
from .subject import Skip, Subject

Check = Callable[[Subject], None]
Expected = Mapping[str, str] | Callable[[Any], Mapping[str, str]] | None


def _checks_in(module: Any) -> list[Check]:
    return [value for name, value in vars(module).items() if name.startswith("check_")]


class CheckResults(list):
    """Results of :func:`check_neuron`, a list of dictionaries; ``str`` gives a table."""

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Results of checks that failed although that was not expected."""
        return [result for result in self if result["status"] == "failed"]

    @property
    def title(self) -> str:
        """Name of the neuron and how many checks ended how."""
        counts = Counter(result["status"] for result in self)
        return f"{self[0]['neuron']}: " + ", ".join(f"{n} {s}" for s, n in counts.items())

    def __str__(self) -> str:
        rows = [(result["check_name"], result["status"], _why(result)) for result in self]
        return table(("check", "status", "why"), rows, title=self.title)


def _why(result: dict[str, Any]) -> str:
    reason = result["expected_to_fail_reason"] if result["status"] == "xfail" else ""
    text = reason or str(result["exception"] or "")
    lines = text.strip().splitlines()
    return lines[0][:100] if lines else ""


def check_neuron(
    neuron: Any,
    *,
    expected_failed_checks: Expected = None,
    on_fail: str | None = "raise",
    on_skip: str | None = "warn",
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> CheckResults:
    """Check that a neuron keeps the contract, by itself and in every host that is installed.

    Parameters
    ----------
    neuron : str, NeuronSpec, ClockedNeuron or TimedNeuron
        Registered name, spec, class or instance. A class is built without arguments, a registered
        one with the ``example`` of its spec. An instance is not changed.
    expected_failed_checks : mapping of str to str, or callable, optional
        Names of checks that are expected to fail, with the reasons; or a function of the neuron
        that returns such a mapping. Those of the spec are added.
    on_fail : {"raise", "warn", None}, default="raise"
        What happens at a check that fails unexpectedly.
    on_skip : {"raise", "warn", None}, default="warn"
        What happens at a check that does not apply or whose host is not installed.
    callback : callable, optional
        Called with the result of each check as soon as it is there.

    Returns
    -------
    CheckResults
        A list of dictionaries with the keys ``neuron``, ``check_name``, ``status`` ("passed",
        "failed", "xfail", "skipped"), ``exception``, ``expected_to_fail`` and
        ``expected_to_fail_reason``. Prints as a table.

    Raises
    ------
    AssertionError
        At the first unexpected failure, with ``on_fail="raise"``; the cause is chained.
    TypeError
        If ``neuron`` is none of these.

    Notes
    -----
    ``python -m snn_temporal_plugins check NAME`` (or ``module:Class``) does the same.

    Examples
    --------
    >>> import snn_temporal_plugins as stp
    >>> results = stp.check_neuron("single_spike_if", on_skip=None)
    >>> results.failed
    []
    """
    subject = Subject(neuron)
    expected = {**subject.expected, **_expected(expected_failed_checks, neuron)}
    results = CheckResults()
    for check in _checks_for(subject):
        result = _run(check, subject, expected)
        results.append(result)
        if callback is not None:
            callback(result)
        _react(result, on_fail, on_skip)
    return results


def neuron_checks_generator(
    neuron: Any, *, expected_failed_checks: Expected = None
) -> Iterator[tuple[Any, Callable[[], None], str | None]]:
    """Yield ``(neuron, check, reason)`` for each check that applies.

    ``check()`` runs it; ``reason`` says why it is expected to fail, or is ``None``.
    """
    subject = Subject(neuron)
    expected = {**subject.expected, **_expected(expected_failed_checks, neuron)}
    for check in _checks_for(subject):
        yield neuron, _Bound(check, subject), expected.get(check.__name__)


def parametrize_with_checks(
    neurons: Iterable[Any], *, expected_failed_checks: Expected = None
) -> Any:
    """Decorator of a pytest test ``def test(check): check()``, for each neuron and check.

    Parameters
    ----------
    neurons : iterable
        As the first argument of :func:`check_neuron`.
    expected_failed_checks : mapping or callable, optional
        As for :func:`check_neuron`; such tests are marked ``xfail``.
    """
    import pytest

    cases = []
    for neuron in neurons:
        for _, check, reason in neuron_checks_generator(
            neuron, expected_failed_checks=expected_failed_checks
        ):
            marks = [pytest.mark.xfail(reason=reason)] if reason else []
            cases.append(pytest.param(_Skippable(check), marks=marks, id=repr(check)))
    return pytest.mark.parametrize("check", cases)


class _Bound:
    """One check of one neuron; called without arguments."""

    def __init__(self, check: Check, subject: Subject) -> None:
        self.check, self.subject = check, subject
        self.__name__ = check.__name__

    def __call__(self) -> None:
        _call(self.check, self.subject)

    def __repr__(self) -> str:
        return f"{self.subject.name}-{self.__name__}"


class _Skippable:
    """The same for pytest, which has a skip of its own."""

    def __init__(self, check: Callable[[], None]) -> None:
        self.check = check

    def __call__(self) -> None:
        import pytest

        try:
            self.check()
        except Skip as reason:
            pytest.skip(str(reason))


def _checks_for(subject: Subject) -> list[Check]:
    checks: list[Check] = []
    if issubclass(subject.core, ClockedNeuron):
        checks += [*_checks_in(clocked), *_checks_in(hosts)]
    if issubclass(subject.core, TimedNeuron):
        checks += _checks_in(timed)
    return checks


def _expected(given: Expected, neuron: Any) -> Mapping[str, str]:
    return given(neuron) if callable(given) else given or {}


def _call(check: Check, subject: Subject) -> None:
    """Run a check from a fixed seed, leaving the caller's random numbers alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        check(subject)


def _run(check: Check, subject: Subject, expected: Mapping[str, str]) -> dict[str, Any]:
    reason = expected.get(check.__name__)
    status = "passed"
    exception: Exception | None = None
    try:
        _call(check, subject)
    except Skip as error:
        status, exception = "skipped", error
    except Exception as error:
        status, exception = "xfail" if reason else "failed", error
    return {
        "neuron": subject.name,
        "check_name": check.__name__,
        "status": status,
        "exception": exception,
        "expected_to_fail": reason is not None,
        "expected_to_fail_reason": reason,
    }


def _react(result: dict[str, Any], on_fail: str | None, on_skip: str | None) -> None:
    reaction = {"failed": on_fail, "skipped": on_skip}.get(result["status"])
    text = f"{result['neuron']}: {result['check_name']} {result['status']}: {result['exception']}"
    if reaction == "raise":
        raise AssertionError(text) from result["exception"]
    if reaction == "warn":
        warnings.warn(text, stacklevel=3)
