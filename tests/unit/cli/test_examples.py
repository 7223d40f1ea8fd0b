"""The examples in the help of each command: they run, or at least they are written correctly.

What names a model in this process is run as it stands there, in an empty directory with the files
that examples read; what names hardware is only parsed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pymmio.cli.app import cli
from pymmio.trace import RecordingSink, every_device
from tests.unit.cli.running import run

RUNS_WITHOUT_DEVICE = {("list",), ("list", "--json"), ("doctor",), ("completion", "bash")}
SECONDS = ("--seconds", "0.05")  # measured as long as that is enough here


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Give all commands with their names, groups too."""
    yield path, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def examples() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give each line of the examples with the arguments of the pymmio in it."""
    for _, command in commands():
        block = re.search(r"Examples?:\n((?:  .*\n)+)", command.epilog or "")
        assert block is not None, command.name
        for line in block[1].splitlines():
            found = re.search(r"(?:^|\s|\()pymmio ((?:'[^']*'|[^|>;)'])*)", line)
            assert found is not None, line
            shown = re.split(r" {2,}|\s#", found[1].strip())[0]  # what follows explains it
            yield line.strip(), tuple(shlex.split(shown))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of what examples of ``sim:replay`` do again."""
    path = tmp_path_factory.mktemp("session") / "session.jsonl"
    with every_device(lambda uri: RecordingSink(path)):
        assert run("nvme", "identify", "sim:nvme").exit_code == 0
    return path


@pytest.fixture
def somewhere(tmp_path: Path, session: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "session.jsonl").write_bytes(session.read_bytes())
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    (tmp_path / "first.img").write_bytes(bytes(4096))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_runnable(arguments: tuple[str, ...]) -> bool:
    return arguments in RUNS_WITHOUT_DEVICE or any(a.startswith("sim:") for a in arguments)


LINES = list(examples())


def test_every_command_has_examples() -> None:
    shown = {arguments[:2] for _, arguments in LINES}
    for path, command in commands():
        if not isinstance(command, click.Group):
            assert any(one[: len(path)] == path for one in shown), path


@pytest.mark.parametrize(
    ("line", "arguments"), [pytest.param(*one, id=one[0]) for one in LINES if is_runnable(one[1])]
)
def test_examples_without_hardware_run(
    somewhere: Path, line: str, arguments: tuple[str, ...]
) -> None:
    stdin = b"hello".rjust(4096) if "--input -" in line else None
    if "--plot" in arguments:
        pytest.importorskip("matplotlib")
    seconds = SECONDS if arguments[1:2] == ("bench",) else ()
    result = run(*arguments, *seconds, stdin=stdin)
    assert result.exit_code == 0, result.output + result.stderr


@pytest.mark.parametrize(
    ("line", "arguments"),
    [pytest.param(*one, id=one[0]) for one in LINES if not is_runnable(one[1])],
)
@pytest.mark.usefixtures("somewhere")
def test_other_examples_are_written_correctly(line: str, arguments: tuple[str, ...]) -> None:
    for name in arguments:
        if name.endswith((".so", ".whl")):  # files that commands look into
            Path(name).touch()
    command: click.Command = cli
    context = click.Context(cli, info_name="pymmio")
    left = list(arguments)
    while isinstance(command, click.Group):
        word, found, left = command.resolve_command(context, left)
        assert found is not None, line
        command = found
    context = command.make_context(word, left, parent=context)  # raises what is wrong
    uri = context.params.get("uri")
    assert uri is None or uri.startswith(("vfio:", "qemu:", "vfio-user:", "sysfs:")), uri
