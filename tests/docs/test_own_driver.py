"""The package of "Write a driver" works as one that was installed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest

from tests.docs.pages import DOCS, EXAMPLES, ROOT

PACKAGE = EXAMPLES / "crc_card"
PAGE = (DOCS / "howto/write-a-driver.rst").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    """Run this interpreter where the package counts as installed."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    info = tmp_path / "crc_card-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in entries.items())
            for group, entries in project["entry-points"].items()
        )
    )
    path = os.pathsep.join(map(str, (tmp_path, PACKAGE, ROOT, ROOT / "drivers")))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=PACKAGE,
            env={**environment, "PYMMIO_ALLOW_FILE": "", "COLUMNS": "100"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_its_tests_pass(run):
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "--rootdir=.", "-c", "/dev/null"]
    assert "passed" in run("-m", "pytest", *options, "test_crc_driver.py")


@pytest.mark.parametrize(
    "command",
    [["crc_driver.py"], ["-m", "pymmio.cli", "regs", "sim:crc"]],
    ids=["program", "regs"],
)
def test_the_page_shows_what_is_printed(run, command):
    printed = run(*command).splitlines()
    shown = [line.strip() for line in PAGE.splitlines()]
    assert [line for line in printed if line.strip() not in shown] == []
