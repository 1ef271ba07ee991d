"""Figures of the benchmarks page, drawn from ``docs/results/benchmarks.json`` at build time.

``.. benchmark-figure:: bars`` (or ``threads``, ``sweeps``, ``memory``) draws, saves to
``docs/generated`` and shows, with a text for those who cannot see it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from result_files import Page, origin, records

FILE = "benchmarks.json"
DRAWN = Path(__file__).resolve().parents[1] / "generated"
OURS, CLOCKED, OTHERS, RELU = "#0072B2", "#56B4E9", "0.65", "#000000"
BASE = "ReLU network"
UNDERLAY = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
SWEEPS = ("time steps", "width", "lit inputs")


def ratios(
    figures: dict[str, Any], task: str, batch: int, *, hidden: int = 400, threads: int = 1
) -> dict[str, float | None]:
    """Images per second by contestant, the ReLU network = 1; ``None`` where it took too long."""
    wanted = {"hidden": hidden, "threads": threads, "task": task, "batch": batch}
    for cell in figures["cells"]:
        if all(cell[key] == value for key, value in wanted.items()):
            speeds = cell["images_per_second"]
            return {name: v and v / speeds[BASE] for name, v in speeds.items()}
    return {}


def colour(name: str) -> str:
    """Of a bar or line."""
    ours = {"ReLU": RELU, "Timed": OURS, "clocked": CLOCKED}
    return next((shade for word, shade in ours.items() if name.startswith(word)), OTHERS)


def draw_bars(figures: dict[str, Any], batch: int) -> tuple[Figure, str]:
    """Speed of training and inference beside the ReLU network, on a logarithmic axis."""
    drawing = Figure(figsize=(9.5, 4.2), layout="constrained")
    said = []
    for ax, task in zip(
        drawing.subplots(1, 2, sharey=True), ("training", "inference"), strict=True
    ):
        found = ratios(figures, task, batch)
        names = list(found)[::-1]
        values = [found[name] or float("nan") for name in names]
        bars = ax.barh(names, values, color=[colour(name) for name in names])
        labels = [f"{v:.2g}" if v == v else "too slow" for v in values]
        for k, value in enumerate(values):
            if value != value:  # nan: no bar, so no place for its label
                ax.text(0.02, k, labels[k], transform=ax.get_yaxis_transform(), va="center")
        ax.bar_label(bars, labels, padding=3, fontsize="small", bbox=UNDERLAY)
        ax.axvline(1, color="0.3", linewidth=1, linestyle="--")
        ax.set(xscale="log", xlabel="images per second, ReLU network = 1", title=task)
        ax.margins(x=0.25)
        ax.set_ylim(-0.6, max(len(names), 1) - 0.4)
        ax.spines[["top", "right"]].set_visible(False)
        said.append(f"{task}: " + ", ".join(map(" ".join, zip(names, labels, strict=True))))
    return drawing, f"Speed at batch {batch}, the ReLU network is 1. " + "; ".join(said) + "."


def gains(figures: dict[str, Any], task: str, hidden: int, name: str) -> dict[int, float]:
    """How many times as fast two threads are as one, by batch size."""
    speeds = {
        (cell["threads"], cell["batch"]): cell["images_per_second"].get(name)
        for cell in figures["cells"]
        if (cell["task"], cell["hidden"]) == (task, hidden)
    }
    one = {batch: speed for (threads, batch), speed in speeds.items() if threads == 1 and speed}
    return {b: speeds[2, b] / speed for b, speed in one.items() if speeds.get((2, b))}


def draw_threads(figures: dict[str, Any]) -> tuple[Figure, str]:
    """Two threads over one, against the batch size."""
    drawing = Figure(figsize=(9.5, 3.6), layout="constrained")
    said = []
    for ax, task in zip(
        drawing.subplots(1, 2, sharey=True), ("training", "inference"), strict=True
    ):
        for hidden, style in ((400, "o-"), (600, "s--")):
            for name in (BASE, "Timed, numba"):
                found = gains(figures, task, hidden, name)
                label = f"{name}, 784-{hidden}-10"
                ax.plot(list(found), list(found.values()), style, color=colour(name), label=label)
                listed = ", ".join(f"{gain:.2f} (batch {b})" for b, gain in found.items())
                said.append(f"{task}, {label}: {listed}")
        ax.axhline(1, color="0.3", linewidth=1, linestyle=":")
        ax.set(xscale="log", xlabel="batch", title=task)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.spines[["top", "right"]].set_visible(False)
    drawing.axes[0].set_ylabel("two threads, one thread = 1")
    drawing.axes[0].legend(frameon=False, fontsize="small")
    return drawing, "Speed of two threads, one thread is 1. " + "; ".join(said) + "."


def draw_sweeps(figures: dict[str, Any]) -> tuple[Figure, str]:
    """Cost of a training step against time steps, width and lit inputs."""
    drawing = Figure(figsize=(11, 3.7), layout="constrained")
    said = []
    for ax, name in zip(drawing.subplots(1, 3), SWEEPS, strict=True):
        sweep = figures[name]
        for who, row in sweep["rows"].items():
            exponent = row["exponent"]
            label = who if exponent is None else f"{who}: exponent {round(exponent, 2) + 0.0:.2f}"
            sizes = [float(size) for size in row["ms"]]
            ax.plot(sizes, list(row["ms"].values()), "o-", color=colour(who), label=label)
            said.append(f"{label} ({sweep['variable']})")
        ax.set(xscale="log", yscale="log", xlabel=sweep["variable"], ylabel="training step (ms)")
        ax.set_title(f"against {name}")
        for axis, few in ((ax.xaxis, (1, 2, 5)), (ax.yaxis, (1, 2, 3, 5))):
            low, high = axis.get_view_interval()
            axis.set_major_locator(LogLocator(subs=(1,) if high > 100 * low else few))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("")
        ax.legend(frameon=False, fontsize="small")
    return drawing, "Cost of a training step on log-log axes: " + ", ".join(said) + "."


def draw_memory(figures: dict[str, Any]) -> tuple[Figure, str]:
    """Peak memory of a process that trains."""
    peaks = figures["peak memory (MiB)"]
    alone = peaks["import alone"]
    names = [name for name in peaks if name != "import alone"][::-1]
    drawing = Figure(figsize=(7.5, 3.8), layout="constrained")
    ax = drawing.subplots()
    bars = ax.barh(names, [peaks[name] for name in names], color=[colour(n) for n in names])
    ax.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize="small")
    ax.axvline(alone, color="0.3", linestyle="--", linewidth=1, label="imports alone")
    ax.set(xlabel="peak memory of the process (MiB)", title="training, batch 128")
    ax.margins(x=0.15)
    ax.legend(frameon=False, loc="lower right")
    said = ", ".join(f"{name} {peaks[name]:.0f}" for name in names)
    return drawing, f"Peak memory in MiB; imports alone take {alone:.0f}. {said}."


FIGURES: dict[str, Callable[..., tuple[Figure, str]]] = {
    "bars": draw_bars,
    "threads": draw_threads,
    "sweeps": draw_sweeps,
    "memory": draw_memory,
}


def lines(name: str, saved: str, alt: str, source: str) -> Iterable[str]:
    """Image and origin, as rst."""
    return (f".. image:: /generated/{saved}", f"   :alt: {alt}", "", source)


class BenchmarkFigure(Page):
    """One figure, or a word that its file is not there."""

    required_arguments = 1
    option_spec: ClassVar = {"batch": directives.nonnegative_int}

    def run(self) -> list[nodes.Node]:
        found = records(FILE)
        if not found:
            return self.not_run(FILE, "python benchmarks/compare.py")
        name = self.arguments[0]
        drawing, alt = FIGURES[name](found[0]["figures"], **self.options)
        DRAWN.mkdir(exist_ok=True)
        saved = "_".join(["benchmarks", name, *map(str, self.options.values())]) + ".png"
        drawing.savefig(DRAWN / saved, dpi=150)
        return self.parsed([*lines(name, saved, alt, origin(found[0]))])


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.setup_extension("result_files")
    app.add_directive("benchmark-figure", BenchmarkFigure)
    return {"parallel_read_safe": True}
