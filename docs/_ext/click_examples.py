"""Shows examples in the help of commands as they are typed: no typographic dashes and quotes."""

from __future__ import annotations

import click
from sphinx.application import Sphinx


def literal_blocks(app: Sphinx, ctx: click.Context, lines: list[str]) -> None:
    """Turn what click must not wrap, a heading and indented lines, into literal blocks."""
    result: list[str] = []
    for line in lines:
        text = line.removeprefix("| ") if line.startswith("| ") else line
        if line.startswith("| ") and text.endswith(":") and not text.startswith(" "):
            result += [text, "", ".. code-block:: text", ""]
        else:
            result.append(text)
    lines[:] = result


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("sphinx-click-process-epilog", literal_blocks)
    return {"parallel_read_safe": True}
