"""Figures of result files in pages: the role ``result``, the directives ``result-table`` and
``result-files``.

``:result:`s4nn/mnist_*_seed?.json; plain.strict``` is the mean over the files that match, shown as
a percentage; a third part is another format, ``.1f``. ``runs`` is their number, and ``settings.``
opens a key of the settings. Where no file matches it says "not run", so pages can be written before
the runs are there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

RESULTS = Path(__file__).resolve().parents[1] / "results"
NOT_RUN = "not run"
NARROW = "\N{NO-BREAK SPACE}"  # figure and unit stay on one line
Rows = list[tuple[str, ...]]


def records(pattern: str, folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Result files whose path matches, in the order of their names.

    Files that differ by more than the seed are different settings: then those of the longest runs
    are taken. Runs that were measured on validation images are only found by that word.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob(pattern)):
        if ("validation" in path.name) <= ("validation" in pattern):
            setting = re.sub(r"seed\d+", "seed", path.name)
            groups.setdefault(setting, []).append(json.loads(path.read_text()))
    return max(groups.values(), key=_epochs, default=[])


def _epochs(runs: list[dict[str, Any]]) -> int:
    return runs[0].get("settings", {}).get("epochs", 0)


def figure(record: dict[str, Any], key: str) -> Any:
    """What a dotted key leads to inside the figures, or the settings; numbers are places."""
    first, *_ = key.split(".")
    found = record if first == "settings" else record["figures"]
    for part in key.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


def text(content: str, folder: Path = RESULTS) -> str:
    """What the role shows for ``pattern; key; format``."""
    pattern, key, *rest = (part.strip() for part in content.split(";"))
    found = records(pattern, folder)
    if not found:
        return NOT_RUN
    if key == "runs":
        return str(len(found))
    values = [float(figure(record, key)) for record in found]
    return format(sum(values) / len(values), rest[0] if rest else ".2%").replace("%", f"{NARROW}%")


def listing(folder: Path = RESULTS) -> Rows:
    """File, command and date of every result."""
    rows = []
    for path in sorted(folder.rglob("*.json")):
        record = json.loads(path.read_text())
        name = path.relative_to(folder).as_posix()
        rows.append((f"``{name}``", f"``{record['command']}``", record["date"]))
    return rows


def origin(record: dict[str, Any]) -> str:
    """When, on what and how a result was made."""
    machine = record["machine"]
    used = record.get("settings", {}).get("threads", machine["threads"])
    used = used if isinstance(used, list) else [used]
    threads = f"{' and '.join(map(str, used))} thread{'s' * (used != [1])}"
    return f"{record['date']}, {machine['processor']}, {threads}: ``{record['command']}``"


def shown(value: Any) -> str:
    """One entry of a table."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) or abs(value) >= 1e4 else f"{value:.3g}"


def tables(figures: Any) -> list[tuple[Sequence[str], Rows]]:
    """Header and rows of nested figures: one row per innermost dictionary, same keys together."""
    found: dict[tuple[str, ...], Rows] = {}
    for names, leaf in _leaves(figures):
        title = (", ".join(names).replace("_", " "),) if names else ()
        found.setdefault(("", *leaf)[not names :], []).append(
            (*title, *(shown(value) for value in leaf.values()))
        )
    return list(found.items())


def _leaves(figures: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict]]:
    """Innermost dictionaries, with the keys that lead to them."""
    if isinstance(figures, list):
        for row in figures:
            yield from _leaves(row, names)
        return
    inner = {key: value for key, value in figures.items() if isinstance(value, dict | list)}
    for key, value in inner.items():
        yield from _leaves(value, (*names, key))
    if not inner:
        yield names, figures


def result_role(name, rawtext, content, lineno, inliner, options=None, content_lines=None):
    """Show one figure, or say that there is none, or report a key that leads nowhere."""
    try:
        return [nodes.inline(rawtext, text(content), classes=["result"])], []
    except (LookupError, TypeError, ValueError) as error:
        said = inliner.reporter.error(f"no such figure: {content} ({error!r})", line=lineno)
        return [inliner.problematic(rawtext, rawtext, said)], [said]


class Page(Directive):
    """What the directives share: lines of rst become part of the page."""

    def parsed(self, lines: Sequence[str]) -> list[nodes.Node]:
        """Nodes of lines of rst."""
        box = nodes.container()
        self.state.nested_parse(StringList(list(lines), source="result files"), 0, box)
        return box.children

    def table(self, header: Sequence[str], rows: Rows) -> list[nodes.Node]:
        """Nodes of a table."""
        lines = [".. list-table::", "   :header-rows: 1", ""]
        for row in (tuple(header), *rows):
            lines += [f"   {' ' if k else '*'} - {cell}" for k, cell in enumerate(row)]
        return self.parsed(lines)

    def not_run(self, name: str, command: str = "") -> list[nodes.Node]:
        """Say that a file is not there, and what makes it."""
        cure = f"; ``{command}`` makes it" if command else ""
        return self.parsed([".. note::", "", f"   ``{name}``: {NOT_RUN}{cure}."])


class ResultFiles(Page):
    """Table of all result files with the commands that made them."""

    def run(self) -> list[nodes.Node]:
        return self.table(("file", "command", "date"), listing())


class ResultTable(Page):
    """The figures of one result file as tables, and where they come from."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        found = records(name)
        if not found:
            return self.not_run(name)
        parts = [self.table(header, rows) for header, rows in tables(found[0]["figures"])]
        return [*chain.from_iterable(parts), *self.parsed([origin(found[0])])]


def read_again(app: Any, env: Any, added: set, changed: set, removed: set) -> list[str]:
    """Pages that show results are read anew in every build: files may have come."""
    return [name for name in ("papers", "benchmarks") if name in env.found_docs]


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_role("result", result_role)
    app.add_directive("result-files", ResultFiles)
    app.add_directive("result-table", ResultTable)
    app.connect("env-get-outdated", read_again)
    return {"parallel_read_safe": True}
