"""What a page must have: a text for every image. A warning fails the build (``-W``)."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)
THUMBNAIL = re.compile(r"(.*)/images/thumb/sphx_glr_(\w+)_thumb\.\w+")


def silent_images(doctree: nodes.document) -> list[nodes.Element]:
    """Images without a text for those who cannot see them, those of the gallery included."""
    return [
        node
        for node in doctree.findall(nodes.Element)
        if (isinstance(node, nodes.image) or type(node).__name__ == "imgsgnode")
        and not str(node.get("alt") or "").strip()
    ]


def name_thumbnail(node: nodes.Element, titles: dict[str, nodes.title]) -> None:
    """Thumbnails of the gallery come without a text: it is the title of their page."""
    found = THUMBNAIL.fullmatch(str(node.get("uri")))
    if found and "/".join(found.groups()) in titles:
        node["alt"] = titles["/".join(found.groups())].astext()


def check(app: Any, doctree: nodes.document, name: str) -> None:
    """Warn about every image of a page that has no text."""
    for node in silent_images(doctree):
        name_thumbnail(node, app.env.titles)
    for node in silent_images(doctree):
        logger.warning("%s: the image %s has no alt text", name, node.get("uri"), location=node)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("doctree-resolved", check)
    return {"parallel_read_safe": True}
