"""Result files in pages: figures, tables and drawings, and what stands there before a run."""

import json
import re
import sys
from pathlib import Path

import pytest

import snn_temporal_plugins as stp

pytest.importorskip("docutils")
pytest.importorskip("sphinx")
sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))
import benchmark_figures
import page_checks
import paper_rows
import paper_table
import result_files
from docutils import nodes

DOCS = Path(__file__).parents[2] / "docs"
MACHINE = {"processor": "A", "cores": 2, "threads": 1, "system": "Linux"}


def plain(shown):
    """Without the space that keeps a figure and its unit together."""
    return shown.replace(result_files.NARROW, " ")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "s4nn").mkdir()
    for seed, strict in enumerate((0.97, 0.99)):
        record = {
            "command": f"python run.py --seed {seed}",
            "date": "2026-01-02",
            "seed": seed,
            "machine": MACHINE,
            "figures": {"plain": {"strict": strict}, "runs": [{"error": 1.0}, {"error": 3.0}]},
        }
        (tmp_path / "s4nn" / f"rule_seed{seed}.json").write_text(json.dumps(record))
    return tmp_path


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("s4nn/rule_seed?.json; plain.strict", "98.00 %"),
        ("s4nn/rule_seed1.json; plain.strict; .1%", "99.0 %"),
        ("s4nn/rule_seed?.json; runs.-1.error; .2f", "3.00"),
        ("s4nn/rule_seed?.json; runs", "2"),
        ("s4nn/other_seed?.json; plain.strict", "not run"),
    ],
)
def test_a_figure_is_the_mean_over_the_files(folder, content, wanted):
    assert plain(result_files.text(content, folder)) == wanted


def test_of_several_settings_the_longest_runs_are_shown(folder):
    for epochs, strict in ((5, 0.9), (20, 0.95)):
        record = {"settings": {"epochs": epochs}, "figures": {"strict": strict}}
        (folder / f"net_{epochs}epochs_seed0.json").write_text(json.dumps(record))
        (folder / f"net_validation_{epochs + 99}epochs_seed0.json").write_text(json.dumps(record))
    assert plain(result_files.text("net_*epochs_seed?.json; strict", folder)) == "95.00 %"
    assert result_files.text("net_*epochs_seed?.json; settings.epochs; .0f", folder) == "20"
    assert result_files.text("net_*epochs_seed?.json; runs", folder) == "1"


def test_the_table_of_papers_has_three_counts(folder):
    keys = ("plain.strict", "plain.strict", "runs.0.error")
    row = paper_rows.Row("784-400-10", "97.4 %", "s4nn/rule_seed?.json", keys)
    assert tuple(map(plain, paper_table.counts(row, folder))) == (
        "98.00 %",
        "98.00 %",
        "100.00 %",
        "2",
    )
    row = paper_rows.Row("the same", "", "s4nn/rule_seed?.json", ("runs.0.error",), ".2f")
    assert tuple(map(plain, paper_table.counts(row, folder))) == ("1.00 %", "--", "--", "2")
    row = row._replace(files="s4nn/other_seed?.json")
    assert tuple(map(plain, paper_table.counts(row, folder))) == ("not run", "--", "--", "not run")


def test_every_paper_names_what_exists():
    for paper in paper_rows.PAPERS:
        assert all(hasattr(stp, name) for name in paper.classes)
        assert paper.claim in paper_table.opening(paper)


@pytest.mark.parametrize(
    "content",
    [
        *re.findall(r":result:`([^`]+)`", (DOCS / "papers.rst").read_text()),
        *(
            f"{row.files}; {key}"
            for paper in paper_rows.PAPERS
            for row in paper.rows
            for key in row.keys
        ),
    ],
)
def test_every_figure_of_the_papers_page_has_a_file(content):
    assert result_files.text(content) != result_files.NOT_RUN


def test_a_key_that_leads_nowhere_is_an_error(folder):
    with pytest.raises(KeyError):
        result_files.text("s4nn/rule_seed?.json; plain.loose", folder)


def test_every_file_is_listed_with_its_command(folder):
    rows = result_files.listing(folder)
    assert rows[0] == ("``s4nn/rule_seed0.json``", "``python run.py --seed 0``", "2026-01-02")
    assert len(rows) == 2
    (record, _) = result_files.records("s4nn/*.json", folder)
    assert result_files.origin(record) == "2026-01-02, A, 1 thread: ``python run.py --seed 0``"
    record["settings"] = {"threads": [1, 2]}  # takes turns with itself
    assert result_files.origin(record).startswith("2026-01-02, A, 1 and 2 threads: ")


def test_nested_figures_become_one_table_for_each_set_of_keys():
    figures = {
        "a": {
            "batch": 5,
            "ms": {"ours": {"train": 1.23456, "infer": 2}, "x": {"train": 9e4, "infer": 1}},
        },
        "bytes": {"float": 1000},
    }
    assert result_files.tables(figures) == [
        (("", "train", "infer"), [("a, ms, ours", "1.23", "2"), ("a, ms, x", "90,000.0", "1")]),
        (("", "float"), [("bytes", "1,000")]),
    ]
    rows = [{"loop": "bare", "ratio": 1.0}, {"loop": "host", "ratio": 1.05}]
    assert result_files.tables(rows) == [(("loop", "ratio"), [("bare", "1"), ("host", "1.05")])]


BENCHMARKS = {
    "cells": [
        {
            "hidden": 400,
            "threads": threads,
            "task": task,
            "batch": 128,
            "images_per_second": {"ReLU network": 100.0 * gain, "Timed, numba": 150.0 * gain}
            | {"slow": None},
        }
        for task in ("training", "inference")
        for threads, gain in ((1, 1.0), (2, 1.75))
    ],
    **{
        name: {"variable": name, "rows": {"Timed": {"ms": {"16": 1.0, "64": 2.0}, "exponent": 0.5}}}
        for name in benchmark_figures.SWEEPS
    },
    "peak memory (MiB)": {"import alone": 200.0, "ReLU network": 220.0, "Timed, numba": 250.0},
}


def test_speed_is_a_multiple_of_the_relu_network():
    found = benchmark_figures.ratios(BENCHMARKS, "training", 128)
    assert found == {"ReLU network": 1.0, "Timed, numba": 1.5, "slow": None}
    assert benchmark_figures.ratios(BENCHMARKS, "training", 1) == {}


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("bars", {"batch": 128}, "Timed, numba 1.5"),
        ("threads", {}, "training, Timed, numba, 784-400-10: 1.75 (batch 128)"),
        ("sweeps", {}, "Timed: exponent 0.50"),
        ("memory", {}, "imports alone take 200"),
    ],
)
def test_drawings_come_with_a_text(name, options, said, tmp_path):
    drawing, alt = benchmark_figures.FIGURES[name](BENCHMARKS, **options)
    drawing.savefig(tmp_path / "drawn.png")
    assert said in alt
    if name == "bars":
        assert "slow too slow" in alt


def test_images_without_a_text_are_found():
    page = nodes.Element()
    page += [nodes.image(uri="a.png", alt="a curve"), nodes.image(uri="b.png")]
    assert [image["uri"] for image in page_checks.silent_images(page)] == ["b.png"]


def test_scripts_that_warn_are_found():
    page = nodes.Element()
    shown = "a/b.py:3: SilentLayerWarning: all 1 neurons\n  return x"
    page += [nodes.literal_block(text=text) for text in (shown, "Warning: none")]
    for block, text in zip(page, (shown, "Warning: none"), strict=True):
        block += nodes.Text(text)
    (found,) = page_checks.warnings_shown(page)
    assert found == (page[0], ".py:3: SilentLayerWarning: all 1 neurons")


def test_thumbnails_are_named_by_the_title_of_their_page():
    image = nodes.image(uri="auto/01_basics/images/thumb/sphx_glr_plot_a_thumb.png")
    page_checks.name_thumbnail(image, {})
    assert "alt" not in image
    page_checks.name_thumbnail(image, {"auto/01_basics/plot_a": nodes.title(text="One neuron")})
    assert image["alt"] == "One neuron"
