"""Speed of event-driven networks beside a ReLU network and the frameworks that step through time.

All contestants run in one process and take turns; every figure is a median of wall times, shown as
images per second and as a multiple of the ReLU network of the same size in the same cell. The
images are MNIST, shown as spikes; the weights come from one epoch of training. Training steps
include the encoding, inference starts from encoded inputs.

    python benchmarks/compare.py            # everything, about ten minutes
    python benchmarks/compare.py --quick    # one network, two batch sizes, a minute
    python benchmarks/compare.py --only timed relu --threads 1
"""

import argparse
import importlib.util
import itertools
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's threads spin beside those of torch

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
import sweeps
from field import LEARNING, MAKERS, make
from timing import medians, threads

import snn_temporal_plugins as stp
from snn_temporal_plugins import _results

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SWEEPS = {"time steps": sweeps.time_steps, "width": sweeps.width, "lit inputs": sweeps.lit_inputs}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute instead of ten")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument(
        "--hidden", type=int, nargs="+", default=[400, 600], help="default: 400 600"
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32, 128, 1024])
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="contestants whose name holds a word"
    )
    parser.add_argument("--no-sweeps", action="store_true", help="the table alone")
    parser.add_argument("--seconds", type=float, default=0.8, help="per contestant and cell")
    parser.add_argument("--limit", type=float, default=12.0, help="longest step that is waited for")
    parser.add_argument("--output", type=Path, help="result file (default: docs/results/...)")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.hidden, chosen.batch, chosen.seconds = chosen.hidden[:1], [1, 128], 0.3
        chosen.limit = 3.0
    return chosen


def data(split: str) -> tuple[torch.Tensor, torch.Tensor, str]:
    """Grey images ``[N, 784]`` (uint8) and labels in whole batches of 128, and their source."""
    found = stp.datasets.load("mnist", split)
    whole = len(found) // 128 * 128
    images = (found.images[:whole].flatten(1) * 255).round().to(torch.uint8)
    return images, found.labels[:whole], found.source


def cell(field, images, labels, batch, task, known, chosen):
    """Images per second of every contestant; ``None`` where a step takes too long."""
    jobs, sizes, guess = {}, {}, {}
    for name, contestant in field.items():
        sizes[name] = 1 if contestant.one_by_one else batch
        jobs[name] = _job(contestant, images, labels, batch, task)
        if name in known:  # a larger batch is cheaper by image
            guess[name] = sizes[name] / known[name] / 4
    times = medians(jobs, seconds=chosen.seconds, limit=chosen.limit, guess=guess)
    return {name: None if t is None else sizes[name] / t for name, t in times.items()}


def _job(contestant, images, labels, batch, task):
    """What is timed: with every call the next of a few batches."""
    some = max(1, min(64, 1024 // batch))
    starts = itertools.cycle(range(0, some * batch, batch))
    if task == "training":

        def train():
            start = next(starts)
            contestant.train(images[start : start + batch], labels[start : start + batch])

        return train
    if batch * contestant.steps > 4096:
        some = 1  # dense trains of many steps are large
    parts = images[: some * batch].split(batch)
    inputs = itertools.cycle([contestant.encode(part) for part in parts])

    def infer():
        with torch.no_grad():
            return contestant.classify(next(inputs))

    return infer


def compare(chosen, images, labels, progress):
    """All cells: a list of {hidden, threads, task, batch, images_per_second: {name: value}}.

    And the accuracy on test images, in percent, of those who learnt for an epoch.
    """
    cells, accuracy = [], {}
    test_images, test_labels, _ = data("test")

    def wanted(name):
        return not chosen.only or any(word.lower() in name.lower() for word in chosen.only)

    steps = len(chosen.hidden) * len(chosen.threads) * len(chosen.batch) * 2
    bar = progress.add_task("comparing", total=steps)
    for hidden in chosen.hidden:
        field = make(hidden, wanted, images, labels)
        accuracy[f"784-{hidden}-10"] = {
            name: field[name].accuracy(test_images, test_labels)
            for name in LEARNING
            if name in field
        }
        for number in chosen.threads:
            with threads(number):
                compile_kernels(field, images, labels)
                for task in ("training", "inference"):
                    known: dict[str, float] = {}  # of the batch size before
                    for batch in chosen.batch:
                        title = f"784-{hidden}-10, {task}, batch {batch}, {number} threads"
                        progress.update(bar, description=title)
                        speeds = cell(field, images, labels, batch, task, known, chosen)
                        known = {n: s for n, s in speeds.items() if s} | {
                            n: known.get(n, 1e-9) for n, s in speeds.items() if not s
                        }
                        cells.append(
                            {
                                "hidden": hidden,
                                "threads": number,
                                "task": task,
                                "batch": batch,
                                "images_per_second": speeds,
                            }
                        )
                        progress.advance(bar)
    return cells, accuracy


def compile_kernels(field, images, labels):
    """Run our networks once: compilation for a number of threads is no part of any cell."""
    for task, name in itertools.product(("training", "inference"), LEARNING):
        if name in field:
            _job(field[name], images, labels, 128, task)()


def table(cells, console):
    """One table: a row per contestant, a column per task and batch size."""
    columns = list(dict.fromkeys((c["task"], c["batch"]) for c in cells))
    shown = Table(title="images per second (multiple of the ReLU network)", title_style="bold")
    shown.add_column("network")
    for task, batch in columns:
        shown.add_column(f"{task}\nbatch {batch}", justify="right", no_wrap=True)
    for hidden, number in dict.fromkeys((c["hidden"], c["threads"]) for c in cells):
        mine = {
            (c["task"], c["batch"]): c["images_per_second"]
            for c in cells
            if (c["hidden"], c["threads"]) == (hidden, number)
        }
        plural = "s" if number > 1 else ""
        shown.add_row(f"784-{hidden}-10, {number} thread{plural}", style="bold")
        for name in MAKERS:
            if any(name in speeds for speeds in mine.values()):
                shown.add_row(f"  {name}", *(_entry(mine[key], name) for key in columns))
        shown.add_section()
    console.print(shown)


def _entry(speeds, name):
    speed, relu = speeds.get(name), speeds.get("ReLU network")
    if speed is None:
        return "too slow"
    digits = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
    return f"{digits} ({speed / relu:.2g})" if relu else digits


def table_of_sweep(result, console):
    sizes = list(next(iter(result["rows"].values()))["ms"])
    shown = Table(title=f"training step in ms against {result['variable']}")
    shown.add_column("network")
    for size in sizes:
        shown.add_column(str(size), justify="right")
    shown.add_column("exponent", justify="right")
    for name, row in result["rows"].items():
        entries = [f"{row['ms'][s]:.2f}" if s in row["ms"] else "-" for s in sizes]
        exponent = "" if row["exponent"] is None else f"{row['exponent']:.2f}"
        shown.add_row(name, *entries, exponent)
    console.print(shown)


def main() -> None:
    chosen = options()
    console = Console(width=max(Console().width, 170))
    warnings.simplefilter("ignore")  # of the hosts, and silent layers in untrained networks
    images, labels, source = data("train")
    console.print(f"images: {source}; spikingjelly installed: {_installed('spikingjelly')}")
    figures = {}
    with Progress(console=console, transient=True) as progress, threads(1):
        cells, accuracy = compare(chosen, images, labels, progress)
    figures["cells"], figures["test accuracy after one epoch (%)"] = cells, accuracy
    table(cells, console)
    console.print("test accuracy after one epoch, in percent:", accuracy)
    if not chosen.no_sweeps:
        setting = {"seconds": chosen.seconds, "quick": chosen.quick}
        with threads(1):
            for name, sweep in SWEEPS.items():
                figures[name] = sweep(images, labels, **setting)
                table_of_sweep(figures[name], console)
        names = list(cells[0]["images_per_second"])
        figures["peak memory (MiB)"] = peaks = sweeps.memory(names)
        console.print("peak memory in MiB, training, batch 128:", peaks)
    name = "benchmarks_quick.json" if chosen.quick else "benchmarks.json"
    saved = _results.save(
        chosen.output or RESULTS / name,
        figures,
        seed=0,
        data=source,
        threads=chosen.threads,
        seconds=chosen.seconds,
        limit=chosen.limit,
    )
    console.print(f"written to {saved}")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    main()
