"""Interleaved repetitions: contestants take turns, so that a busy moment hits all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager

import torch

FEW, MANY = 3, 200  # turns
TURN = 2e-2  # seconds that a turn lasts at least


def medians(
    jobs: Mapping[str, Callable[[], object]],
    *,
    seconds: float,
    limit: float,
    guess: Mapping[str, float] | None = None,
) -> dict[str, float | None]:
    """Median wall time of every job, in seconds; ``None`` for one that takes more than ``limit``.

    ``guess`` holds expected times, where there are any: what should exceed the limit is not even
    tried. The first call of a job (allocation, caches) does not count, unless it takes longer than
    ``seconds``. Together the turns of a job take about ``seconds``, but there are at least three;
    within a turn a short job runs again and again, as it would in use, with its data in the cache.
    """
    guess, result = guess or {}, {}
    calls: dict[str, int] = {}
    turns: dict[str, int] = {}
    for name, job in jobs.items():
        expected = guess.get(name, 0.0)
        first = expected if expected > limit else _clock(job)
        result[name] = None if first > limit else first
        if first <= seconds:
            cost = _clock(job)
            calls[name] = max(1, round(TURN / cost))
            turns[name] = int(min(max(seconds / (cost * calls[name]), FEW), MANY))
    times: dict[str, list[float]] = {name: [] for name in turns}
    last = max(turns.values(), default=0)
    for turn in range(last):
        for name, wanted in turns.items():
            if len(times[name]) * last <= turn * wanted:  # spread over the whole time
                times[name].append(_clock(jobs[name], calls[name]))
    return result | {name: statistics.median(values) for name, values in times.items()}


def _clock(job: Callable[[], object], calls: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        job()
    return (time.perf_counter() - start) / calls


@contextmanager
def threads(number: int):
    """Run with so many threads of torch, which our kernels follow."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def slope(x: list[float], y: list[float]) -> float:
    """Exponent p of the power law ``y ~ x^p`` that fits best."""
    log_x, log_y = (torch.tensor(values, dtype=torch.float64).log() for values in (x, y))
    log_x = log_x - log_x.mean()
    return ((log_x * log_y).sum() / log_x.square().sum()).item()
