"""The page about the command line: its examples do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pymmio.cli.errors import ExitCode
from tests.unit.cli.running import run

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.rst"


def sessions() -> list[tuple[str, str]]:
    """Return the commands of the console blocks with what the page says they print."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"\.\. code-block:: console\n\n((?:   .*\n|\n)+)", PAGE.read_text()):
        lines = [line.removeprefix("   ") for line in block.rstrip().splitlines()]
        for line in lines:
            if line.startswith("$ "):
                found.append((line[2:], ""))
            else:
                command, shown = found[-1]
                found[-1] = (command, f"{shown}{line}\n")
    return found


def test_there_are_examples() -> None:
    assert len(sessions()) > 4


@pytest.mark.parametrize(("command", "shown"), sessions())
def test_examples_print_what_the_page_shows(command: str, shown: str) -> None:
    name, *arguments = shlex.split(command)
    assert name == "pymmio"
    result = run(*arguments)
    assert result.stdout + result.stderr == shown


def test_all_exit_codes_are_explained() -> None:
    table = re.findall(r"^(\d+)  ", PAGE.read_text(), re.MULTILINE)
    assert [int(code) for code in table] == sorted(ExitCode)
