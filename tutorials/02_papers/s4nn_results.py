"""
Table of the S4NN study
=======================

Every run of ``run_s4nn.py`` left one JSON file in ``docs/results/s4nn``. This script prints them
as tables, best first, seeds of one setting together, and writes ``docs/results/s4nn/README.md``::

    python tutorials/02_papers/s4nn_results.py

Figures in percent. *Strict*: a tie is wrong, the potential decides where no output fired.
*Potential*: it decides ties, too. *Authors*: a tie that holds the label is right. *Silent wrong*:
strict, and an image without output spike is wrong. *Drive*: the same with the late drive.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from snn_temporal_plugins import _results

FIGURES = {
    "strict": ("plain", "strict"),
    "potential": ("plain", "potential"),
    "authors": ("plain", "authors"),
    "silent wrong": ("plain", "strict_silent_wrong"),
    "silent": ("plain", "silent"),
    "drive": ("late_drive", "strict_silent_wrong"),
}
NAMES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
LINES = __doc__.splitlines()


class Row(NamedTuple):
    """One network in the closing table; accuracies in percent, means per image."""

    strict: float = math.nan
    potential: float = math.nan  #: a tie goes to the larger potential
    authors: float = math.nan
    step: float = math.nan  #: of the decision; 256 where no output fires
    pixels: float = math.nan  #: spikes up to the decision
    hidden: float = math.nan


REPORTED = {
    "paper, abstract": Row(authors=97.4),
    "weights its authors publish": Row(95.29, 96.33, 96.69, 83.2, 90.5, 83.4),
}
RELU = 784 * 400 + 400 * 10  # multiply-adds


def closing(rows: dict[str, Row]) -> Iterable[str]:
    """Lines of the closing table; a spike costs one addition for each neuron it reaches."""
    names = (*Row._fields, "additions")
    yield f"{'784-400-10':<30}" + "".join(f"{name:>12}" for name in names)
    for name, row in rows.items():
        additions = 400 * row.pixels + 10 * row.hidden
        numbers = [f"{value:.2f}" for value in row[:3]] + [f"{value:.0f}" for value in row[3:]]
        numbers.append(f"{additions / RELU:.0%}")
        shown = ("" if "nan" in number else number for number in numbers)
        yield f"{name:<30}" + "".join(f"{number:>12}" for number in shown)
    yield f"additions: share of the {RELU:,} multiply-adds of a ReLU network"


def load(folder: Path) -> dict[str, list[dict]]:
    """Runs by their command without the seed."""
    groups: dict[str, list[dict]] = defaultdict(list)
    for file in sorted(folder.glob("**/*.json")):
        run = _results.load(file)
        if "run_s4nn.py" in run["command"]:
            groups[bare(run["command"])].append(run)
    return groups


def bare(command: str) -> str:
    """Command without seed, threads, checkpoint and the words about it."""
    words, kept = command.split(" --")[0:], []
    for word in words:
        if word.split()[0] not in ("seed", "threads", "idea", "name", "checkpoint"):
            kept.append(word.strip())
    return " --".join(kept)


def settings(run: dict) -> tuple[str, bool]:
    """Which table a run belongs to: its data, and whether it was measured on validation images."""
    return run["settings"]["data"], run["settings"]["validate"]


def title(run: dict) -> str:
    """What distinguishes a run, in words."""
    own = run["settings"]
    if own.get("idea"):
        return own["idea"] + (f"; {own['images']:,} images" if own.get("images") else "")
    text = "rule " + own["rule"] if own["rule"] != "paper" else "the paper's rule"
    if own["beta"] is not None:
        text += f", beta {own['beta']:g}"
    if own["shift"]:
        text += f", shifts of {own['shift']} pixel"
    if own.get("flip"):
        text += ", mirrored images"
    for name, what in (("drop", "input"), ("hidden_drop", "hidden")):
        if own.get(name):
            text += f", {100 * own[name]:g} % of the {what} spikes silenced"
    if own.get("rate", 1) != 1:
        text += f", learning rates times {own['rate']:g}"
    return text


def summary(runs: list[dict]) -> dict[str, float]:
    """Means over the seeds of one setting."""
    row = {name: mean(run["figures"][a][b] for run in runs) for name, (a, b) in FIGURES.items()}
    strict = [run["figures"]["plain"]["strict"] for run in runs]
    row["spread"] = stdev(strict) if len(strict) > 1 else float("nan")
    row["CPU s"] = mean(run["figures"]["cpu_seconds"] for run in runs)
    return row


def tables(folder: Path, order: str = "strict") -> dict[tuple[str, bool], list]:
    """Rows ``(runs, summary, command)`` of every table, sorted by one figure, best first."""
    found = defaultdict(list)
    for command, runs in load(folder).items():
        found[settings(runs[0])].append((runs, summary(runs), command))
    for rows in found.values():
        rows.sort(key=lambda row: -row[1][order])
    return dict(sorted(found.items(), key=lambda item: (item[0][1], item[0][0] != "mnist")))


def network(run: dict) -> str:
    own = run["settings"]
    if own.get("network", "dense") == "conv":
        few, many = own["channels"]
        return f"{few}C5-P2-{many}C5-10"
    return f"784-{own['hidden']}-10"


def heading(data: str, validation: bool) -> str:
    where = "validation images: the choice of settings" if validation else "test images"
    return f"{NAMES[data]}, {where}"


def text(folder: Path, order: str = "strict", *, validation: bool | None = None) -> Iterable[str]:
    """Lines of the tables, for a terminal."""
    for (data, chosen), rows in tables(folder, order).items():
        if validation not in (None, chosen):
            continue
        yield heading(data, chosen)
        yield f"{'':<62}{'network':<22}seeds" + "".join(f"{n:>13}" for n in FIGURES) + "   CPU s"
        for runs, row, _ in rows:
            numbers = "".join(f"{100 * row[name]:>13.2f}" for name in FIGURES)
            line = f"{title(runs[0])[:61]:<62}{network(runs[0]):<22}{len(runs):>5}"
            yield f"{line}{numbers}{row['CPU s']:>8.0f}"
        yield ""


def page(folder: Path) -> Iterable[str]:
    """Lines of the page in Markdown."""
    yield "# Runs of the S4NN study\n"
    yield "Made by `python tutorials/02_papers/s4nn_results.py` from the JSON files beside it.\n"
    yield from LINES[-3:]
    for (data, chosen), rows in tables(folder).items():
        yield f"\n## {heading(data, chosen)}\n"
        names = " | ".join(FIGURES)
        yield f"| what | network | seeds | {names} | +- | CPU s | command |"
        yield "| --- " * (len(FIGURES) + 6) + "|"
        for runs, row, command in rows:
            numbers = " | ".join(f"{100 * row[name]:.2f}" for name in FIGURES)
            seeds = ", ".join(str(run["seed"]) for run in runs)
            spread = f"{100 * row['spread']:.2f}" if len(runs) > 1 else ""
            yield (
                f"| {title(runs[0])} | {network(runs[0])} | {seeds} | {numbers} | {spread} "
                f"| {row['CPU s']:.0f} | `{command}` |"
            )


if __name__ == "__main__":
    results = Path(__file__).parents[2] / "docs" / "results" / "s4nn"
    print("\n".join(text(results)))
    (results / "README.md").write_text("\n".join(page(results)) + "\n")
