"""``.. pymmio-screen:: nvme smart sim:nvme``: the command's output on a terminal, as a picture."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1]))

import screenshots

_SCALE = 0.62  # the widest fits the page, all letters have one size
_GENERATED = Path(__file__).parents[1] / "_build" / "screens"


class Screen(Directive):
    """Runs the command while the page is built; a command that fails fails the build."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        command = self.arguments[0]
        environment = self.state.document.settings.env
        if environment.app.builder.format != "html":
            text = f"$ pymmio {command}"
            return [nodes.literal_block(text, text, language="text")]
        path = screenshots.draw(command, _GENERATED)
        svg = path.read_text(encoding="utf-8")
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]) * _SCALE
        label = f"What pymmio {command} shows on a terminal"
        attributes = f'class="pymmio-screen" role="img" style="max-width: {width:.0f}px"'
        html = f'<div {attributes} aria-label="{label}">{svg}</div>'
        return [nodes.raw("", html, format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("pymmio-screen", Screen)
    return {"parallel_read_safe": True}
