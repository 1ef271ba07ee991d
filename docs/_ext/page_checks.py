"""Pages have a text for every image and no warning in any output, or the build fails (``-W``)."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.util import logging

logger = logging.getLogger(__name__)
WARNED = re.compile(r"\.py:\d+: \w*Warning: .*")  # as Python prints it, with the file
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


def warnings_shown(doctree: nodes.document) -> list[tuple[nodes.literal_block, str]]:
    """Blocks of output in which a script warned, and what."""
    blocks = doctree.findall(nodes.literal_block)
    return [(block, found[0]) for block in blocks if (found := WARNED.search(block.astext()))]


def check(app: Any, doctree: nodes.document, name: str) -> None:
    """Warn about images without a text and about scripts that warned."""
    for node in silent_images(doctree):
        name_thumbnail(node, app.env.titles)
    for node in silent_images(doctree):
        logger.warning("%s: the image %s has no alt text", name, node.get("uri"), location=node)
    for block, text in warnings_shown(doctree):
        logger.warning("%s: its script warns: %s", name, text, location=block)


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("doctree-resolved", check)
    return {"parallel_read_safe": True}
