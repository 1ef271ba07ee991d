"""Tables of the papers page, ``.. paper-table::``: reported beside reproduced, from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from paper_rows import PAPERS, Paper, Row
from result_files import NARROW, NOT_RUN, RESULTS, Page, text

TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials/02_papers"
HEADER = ("Network, data", "Reported", "Strict", "Potential", "Authors", "Runs")


def counts(row: Row, folder: Path = RESULTS) -> tuple[str, ...]:
    """The three counts and the number of runs; ``--`` where a count does not exist."""
    unit = "" if row.form.endswith("%") else f"{NARROW}%"
    found = []
    for key in row.keys:
        shown = text(f"{row.files}; {key}; {row.form}", folder)
        found.append(shown if shown == NOT_RUN else shown + unit)
    found += ["--"] * (3 - len(found))
    return (*found, text(f"{row.files}; runs", folder))


def opening(paper: Paper) -> str:
    """Claim with its source, classes with the tutorial."""
    link = f"`{paper.arxiv} <https://arxiv.org/abs/{paper.arxiv}>`__"
    classes = ", ".join(f":obj:`{name}`" for name in paper.classes)
    if (TUTORIALS / f"{paper.tutorial}.py").exists():
        classes += f"; :doc:`tutorial <auto_tutorials/02_papers/{paper.tutorial}>`"
    return f"**{paper.name}** ({link}): {paper.claim}. With {classes}."


class PaperTable(Page):
    """For each paper its claim, classes and tutorial, and a table of figures."""

    def run(self) -> list[nodes.Node]:
        found = []
        for paper in PAPERS:
            rows = [(row.network, row.reported or "--", *counts(row)) for row in paper.rows]
            found += [*self.parsed([opening(paper)]), *self.table(HEADER, rows)]
        return found


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.setup_extension("result_files")
    app.add_directive("paper-table", PaperTable)
    return {"parallel_read_safe": True}
