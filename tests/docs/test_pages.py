"""The pages of the site: their examples run, and what stands twice is the same twice."""

import doctest
import inspect
import re
import sys
import types
from pathlib import Path

import pytest
import torch

import snn_temporal_plugins as stp
from snn_temporal_plugins.plugins import registry

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
LANDING = (ROOT / "docs/index.rst").read_text()
EXAMPLE = (ROOT / "docs/examples/fifteen_lines.py").read_text()
PAGES = sorted(path for path in (ROOT / "docs").glob("*.rst"))
SCRIPTS = sorted((ROOT / "tutorials").glob("*/plot_*.py"))
BASICS, HOSTS = (
    [script for script in SCRIPTS if script.parent.name == name]
    for name in ("01_basics", "03_hosts")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("default")
def test_examples_of_the_pages_run(page, monkeypatch):
    pytest.importorskip("snntorch")
    monkeypatch.setattr(registry, "_session", {})
    module = types.ModuleType(f"page_{page.stem}")  # classes of a page can be pickled
    monkeypatch.setitem(sys.modules, module.__name__, module)
    parsed = doctest.DocTestParser().get_doctest(page.read_text(), {}, page.stem, str(page), 0)
    parsed.globs = vars(module)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert not doctest.DocTestRunner(optionflags=options).run(parsed).failed


def test_the_example_of_the_readme_is_that_of_the_landing_page():
    assert f"```python\n{EXAMPLE}```" in README
    assert ".. literalinclude:: examples/fifteen_lines.py" in LANDING
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) == 15


def test_the_example_learns(monkeypatch, capsys, real_digits):
    pixels = torch.from_numpy(real_digits[0]).unsqueeze(1)
    labels = torch.from_numpy(real_digits[1])

    class Digits:
        pass

    digits = Digits()
    digits.pixels, digits.labels = pixels.repeat(10, 1, 1, 1), labels.repeat(10)
    monkeypatch.setattr(stp.datasets, "load", lambda name, split: digits)
    names = {}
    exec(EXAMPLE, names)
    assert "tensor" in capsys.readouterr().out
    right = stp.first_spike_decision(names["model"], names["times"]).label == digits.labels
    assert right.double().mean() > 0.5  # chance is 0.1; one pass over ten times 200 digits


def plain(cell):
    """Text of a cell of either page, without its markup."""
    cell = re.sub(r":\w+:`~?([^`<]+)`", r"\1", cell).replace("`", "").replace("\\|", "|")
    return re.sub(r"\s+", " ", cell).strip()


def test_the_table_of_the_readme_is_that_of_the_landing_page():
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", README, re.MULTILINE)
    readme = [(plain(a), plain(b)) for a, b in rows if not a.startswith("-")]
    part = LANDING.partition("What is there\n")[2].partition("Ten minutes\n")[0]
    cells = re.findall(r"^   \* - (.*?)^     - (.*?)(?=^   \* |^\S|\Z)", part, re.M | re.S)
    assert [(plain(a), plain(b)) for a, b in cells] == readme


def test_readme_and_landing_page_show_one_figure():
    in_readme = re.findall(r"!\[(.+?)\]\((.+?)\)", README)
    assert [path for _, path in in_readme] == ["docs/images/first_spike.png"]
    assert re.findall(r"^\.\. image:: (.+)$", LANDING, re.MULTILINE) == ["images/first_spike.png"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_images_have_a_text(page):
    for options in re.findall(
        r"^\.\. (?:image|figure):: .+\n((?:   .*\n)*)", page.read_text(), re.M
    ):
        assert ":alt: " in options


def test_terms_name_what_the_code_calls_by_that_name():
    page = (ROOT / "docs/concepts.rst").read_text().partition("Terms and symbols")[2]
    cells = re.findall(r"^   \* - (.*)\n     -.*\n     - *(.*)$", page, re.MULTILINE)
    names = {name for _, cell in cells for name in re.findall(r"``(\w+)``", cell)}
    assert len(names) > 20
    taken = set(vars(stp))
    for thing in vars(stp).values():
        if inspect.isclass(thing) or inspect.isfunction(thing):
            members = [thing, *vars(thing).values()] if inspect.isclass(thing) else [thing]
            for member in members:
                if callable(member):
                    try:
                        taken |= set(inspect.signature(member).parameters)
                    except ValueError:
                        continue
    assert names - taken - {"surrogate"} == set()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_tutorials_have_the_same_parts(script):
    text = script.read_text()
    opening = text.partition("# %%")[0]
    assert ".. rubric:: You will learn" in opening and opening.count("\n- ") >= 3
    assert re.search(r"^# References$", text, re.MULTILINE)
    assert "plt.show()" in text and re.search(r"^assert ", text, re.MULTILINE)


@pytest.mark.parametrize("script", BASICS + HOSTS, ids=lambda script: script.stem)
def test_tutorials_end_alike(script):
    text = script.read_text()
    for part in ("# Closing table", "**Next:**", "sphinx_gallery_thumbnail_number"):
        assert part in text, part
    assert re.search(r"^assert .*\Z", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("script", BASICS, ids=lambda script: script.stem)
def test_basics_have_a_figure_for_each_idea(script):
    assert script.read_text().count("plt.show()") >= 3
