"""Plain-text tables: the one layout of plans, reports and the command line."""

from __future__ import annotations

from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> str:
    """Left-aligned columns under their names."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in [list(columns), ["-" * w for w in widths], *cells]
    ]
    return "\n".join([title, *lines] if title else lines)
