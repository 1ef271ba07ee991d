"""Equations as MathML, which browsers draw themselves: pages need no network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def render(translator: Any, node: nodes.Element, block: bool) -> None:
    """Write an equation; what cannot be converted fails the build (``-W``)."""
    tex = " ".join(node.astext().split())
    try:
        translator.body.append(tex2mathml(tex, as_block=block))
    except MathError as error:
        logger.warning("equation %r: %s", tex, error, location=node)
        translator.body.append(translator.encode(tex))
    raise nodes.SkipNode


def inline(translator: Any, node: nodes.Element) -> None:
    """Equation in a line."""
    render(translator, node, block=False)


def display(translator: Any, node: nodes.Element) -> None:
    """Equation of its own."""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    try:
        render(translator, node, block=True)
    finally:
        translator.body.append("</div>")


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True}
