"""The page about the command line: its examples do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pymmio.cli.errors import ExitCode
from tests.unit.cli.running import run

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "reference" / "cli.rst"
HOWTO = DOCS / "howto" / "command-line.rst"


def sessions(page: Path = PAGE) -> list[tuple[str, str]]:
    """Return the commands of the console blocks with what the page says they print."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"\.\. code-block:: console\n\n((?:   .*\n|\n)+)", page.read_text()):
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


SIMULATED = [command for command, _ in sessions(HOWTO) if " sim:" in command]


@pytest.mark.parametrize("command", SIMULATED)
def test_commands_of_the_how_to_run(command: str) -> None:
    result = run(*shlex.split(command)[1:])
    assert result.exit_code == 0, result.output


def test_the_how_to_has_commands() -> None:
    assert len(SIMULATED) > 5
