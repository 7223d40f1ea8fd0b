"""What the tests of the documentation share: where its pages and examples are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
README = ROOT / "README.md"
TIMEOUT_S = 120


def pages() -> list[Path]:
    """Return the sources of all pages."""
    return sorted(
        page
        for page in (*DOCS.rglob("*.rst"), *DOCS.rglob("*.md"))
        if "_build" not in page.relative_to(DOCS).parts
    )


def run_python(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run this interpreter as a reader would, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYMMIO_ALLOW_FILE": ""},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def code_blocks(markdown: str, language: str) -> list[str]:
    """Return the fenced blocks of one language.

    >>> code_blocks("```sh\\nmake\\n```\\n```python\\nx = 1\\n```\\n", "python")
    ['x = 1\\n']
    """
    return re.findall(rf"^```{language}\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
