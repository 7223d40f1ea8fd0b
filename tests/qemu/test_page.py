"""The page about this backend: its examples run and print what it shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/drive-qemu.rst"


def test_examples_of_the_page_run(tmp_path: Path) -> None:
    """The tier of the documentation leaves them out where there is no QEMU."""
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    shutil.copy(PAGE, source / "index.rst")
    settings = ("extensions=sphinx.ext.doctest", "doctest_global_setup=import pymmio")
    defined = [word for setting in settings for word in ("-D", setting)]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-C", *defined, "-b", "doctest", str(source), str(out)],
        cwd=PAGE.parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ran = re.search(r"Doctest summary\n=+\n +(\d+) tests", done.stdout)
    assert ran is not None, done.stdout
    assert int(ran[1]) >= 4
