"""Training runs of the tutorials: progress, resumption, evaluation, common options."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .metrics import FirstSpikeReport

Row = dict[str, float]


def options(description: str, *, epochs: int, **more: Any) -> argparse.ArgumentParser:
    """Parser with the options that all training scripts share; ``more`` goes to argparse."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, **more
    )
    passes = "passes over the images" + ("" if epochs else "; 0: as the page takes")
    parser.add_argument("--epochs", type=int, default=epochs, help=passes)
    parser.add_argument("--seed", type=int, default=0, help="of weights and order of the images")
    threads = "of torch; batches of some dozen images are fastest with one"
    parser.add_argument("--threads", type=int, default=1, help=threads)
    full = os.environ.get("SNN_TEMPORAL_FULL") == "1"
    parser.add_argument(
        "--full", action="store_true", default=full, help="all images; also SNN_TEMPORAL_FULL=1"
    )
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Options of the command line (a notebook has none); sets threads and seed."""
    chosen = parser.parse_args([] if "ipykernel" in sys.modules else None)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    return chosen


def fit(
    step: Callable[[Tensor, Tensor], Tensor | int],
    inputs: Tensor,
    targets: Tensor,
    *,
    epochs: int,
    batch_size: int,
    seed: int = 0,
    shuffle: bool = True,
    after_epoch: Callable[[int], Mapping[str, float]] | None = None,
    parts: Mapping[str, Any] | None = None,
    checkpoint: str | Path | None = None,
    title: str = "training",
) -> list[Row]:
    """Call ``step(inputs, targets)`` on batches and show how it goes.

    Parameters
    ----------
    step : callable
        Trains on one batch; returns how many samples were right before the update.
    inputs, targets : Tensor of shape [N, ...] and [N]
        What the batches are drawn from.
    epochs, batch_size : int
        The last batch of an epoch may be smaller.
    seed : int, default=0
        The generator of torch is seeded from it at the start of every epoch, so that a resumed
        run equals an uninterrupted one.
    shuffle : bool, default=True
        Without it batches come in the order of ``inputs``.
    after_epoch : callable, optional
        Gets the epoch (from 0) and returns figures for its row of the history.
    parts : mapping, optional
        Everything with ``state_dict`` and ``load_state_dict`` that changes: model, optimiser,
        averaged model, scheduler. Needed with ``checkpoint``.
    checkpoint : path, optional
        File written after every epoch; where it exists the run goes on from it.
    title : str
        Name of the progress bar.

    Returns
    -------
    list of dict
        A row per epoch: ``epoch``, ``accuracy`` on the fly, ``images_per_second``,
        ``cpu_seconds``, and the figures of ``after_epoch``.
    """
    history = _resume(checkpoint, parts)
    for epoch in range(len(history), epochs):
        torch.manual_seed(1_000_003 * seed + epoch)
        order = torch.randperm(len(inputs)) if shuffle else torch.arange(len(inputs))
        batches = order.split(batch_size)
        row = {"epoch": epoch + 1, **_epoch(step, inputs, targets, batches, f"{title} {epoch + 1}")}
        row |= dict(after_epoch(epoch)) if after_epoch else {}
        history.append(row)
        print(f"{title}: " + ", ".join(f"{name} {value:.5g}" for name, value in row.items()))
        _save(checkpoint, parts, history)
    return history


def _epoch(
    step: Callable[[Tensor, Tensor], Tensor | int],
    inputs: Tensor,
    targets: Tensor,
    batches: Iterable[Tensor],
    title: str,
) -> Row:
    start, cpu, right, seen = time.perf_counter(), time.process_time(), torch.tensor(0), 0
    with _bar(title, len(inputs)) as advance:
        for batch in batches:
            right = right + step(inputs[batch], targets[batch])
            seen += len(batch)
            advance(seen, right)
    return {
        "accuracy": right.item() / seen,
        "images_per_second": round(seen / (time.perf_counter() - start)),
        "cpu_seconds": round(time.process_time() - cpu, 2),
    }


def _resume(checkpoint: str | Path | None, parts: Mapping[str, Any] | None) -> list[Row]:
    if checkpoint is None or not Path(checkpoint).exists():
        return []
    saved = torch.load(checkpoint, weights_only=True)
    for name, part in (parts or {}).items():
        part.load_state_dict(saved["parts"][name])
    print(f"resuming after epoch {len(saved['history'])} of {checkpoint}")
    return list(saved["history"])


def _save(
    checkpoint: str | Path | None, parts: Mapping[str, Any] | None, history: list[Row]
) -> None:
    if checkpoint is None:
        return
    path = Path(checkpoint)
    path.parent.mkdir(parents=True, exist_ok=True)
    states = {name: part.state_dict() for name, part in (parts or {}).items()}
    partial = path.with_suffix(".partial")
    torch.save({"parts": states, "history": history}, partial)
    partial.replace(path)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int, Tensor], None]]:
    """Progress bar with images/s and accuracy where a person watches; else nothing."""
    try:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        yield lambda seen, right: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[speed]:.0f} images/s, accuracy {task.fields[accuracy]:.2%}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True) as progress:
        progress.disable = not progress.console.is_terminal
        task = progress.add_task(title, total=total, speed=0.0, accuracy=0.0)
        start = shown = time.perf_counter()

        def advance(seen: int, right: Tensor) -> None:
            nonlocal shown
            now = time.perf_counter()
            if now - shown > 0.2:  # reading the accuracy is not free
                shown, speed = now, seen / (now - start)
                accuracy = right.item() / seen
                progress.update(task, completed=seen, speed=speed, accuracy=accuracy)

        yield advance


def evaluate(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    t_max: float,
    encode: Callable[[Tensor], Tensor] | None = None,
    batch_size: int = 500,
) -> FirstSpikeReport:
    """Report of a network that maps spike times to ``(times, potential)``, in evaluation mode."""
    report = FirstSpikeReport(t_max)
    training = model.training
    model.eval()
    with torch.no_grad():
        for x, y in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
            times, potential = model(encode(x) if encode else x)
            report.update(times, y, potential)
    model.train(training)
    return report
