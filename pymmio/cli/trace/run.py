"""``pymmio trace run``: run a program with a trace of each device that it opens."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pymmio.trace import DeviceFacts, EventSink

__all__ = ["FORMATS", "run"]

FORMATS = ("text", "jsonl", "perfetto", "record")
_BY_SUFFIX = {".jsonl": "jsonl", ".json": "perfetto"}


@click.command(
    short_help="Run a program and trace its devices.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""\b
Examples:
  pymmio trace run -- pymmio peek sim:edu bar0 0x0 --width 32
  pymmio trace run --out trace.json -- pymmio nvme identify sim:nvme
  pymmio trace run --out session.jsonl --format record -- pymmio nvme identify sim:nvme
  pymmio trace run -- driver.py vfio:0000:01:00.0
  pymmio trace run --out trace.jsonl -- -m my_driver --verbose
""",
)
@click.option("--out", metavar="FILE", type=click.Path(dir_okay=False), help="Write to this file.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="What to write; else FILE's ending tells: .jsonl, .json (perfetto), text for all other.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write N events of each device at most; not for recordings.",
)
@click.argument("command", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
def run(out: str | None, form: str | None, limit: int | None, command: tuple[str, ...]) -> None:
    """Run COMMAND in this process, and trace each device that it opens.

    COMMAND is a Python script with its arguments, -m and a module, or pymmio and one of its
    commands. What it prints, its exceptions and its exit status are as without the trace.

    text goes to standard error unless there is a FILE; jsonl is for `pymmio trace show` and for
    programs; perfetto is for https://ui.perfetto.dev; record is what sim:replay plays. The second
    device of a program gets a file of its own, with -2 before the ending.
    """
    if command[:1] == ("--",):
        command = command[1:]
    if not command:
        raise click.UsageError("what shall run? Write: pymmio trace run -- script.py ARGUMENTS")
    form = form or _BY_SUFFIX.get(Path(out or "").suffix, "text")
    if out is None and form != "text":
        raise click.UsageError(f"--format {form} needs --out FILE")
    if limit is not None and form in ("record", "text"):
        raise click.UsageError(f"--limit is not for --format {form}")
    if out is not None and not Path(out).absolute().parent.is_dir():
        raise click.UsageError(f"--out {out}: there is no such folder")
    from pymmio.cli.output import note
    from pymmio.trace.everywhere import every_device

    files = _Files(out, form, limit)
    try:
        with every_device(files.make):
            _run(command)
    finally:
        for line in files.close():
            note(line)


class _Files:
    """The sinks of all devices that are opened, and the files that they write."""

    def __init__(self, out: str | None, form: str, limit: int | None) -> None:
        self._out = out
        self._folder = Path.cwd()  # the program may go elsewhere
        self._form = form
        self._limit = limit
        self._made: list[tuple[str, str, EventSink]] = []
        self._close: list[Callable[[], None]] = []

    def make(self, uri: str) -> EventSink:
        """Return a sink for one more device, which knows the names of an installed driver."""
        sink = self._make(uri)
        begin = sink.begin

        def begin_with_names(device: DeviceFacts) -> None:
            from pymmio.cli.trace.names import driver_names

            begin(device)
            for index, names in driver_names(device).items():
                sink.name_registers(index, names)

        sink.begin = begin_with_names  # type: ignore[method-assign]
        return sink

    def _make(self, uri: str) -> EventSink:
        from pymmio.trace import JsonLinesSink, PerfettoSink, RecordingSink, TextSink

        if self._out is None:
            return TextSink()
        shown = self._path()
        path = self._folder / shown
        sink: EventSink
        match self._form:
            case "jsonl":
                sink = lines = JsonLinesSink(path, limit=self._limit)
                self._close.append(lines.close)
            case "record":
                sink = recording = RecordingSink(path)
                self._close.append(recording.close)
            case "perfetto":
                sink = perfetto = PerfettoSink(path, limit=self._limit)
                self._close.append(perfetto.close)
            case _:
                stream = path.open("w")
                sink = TextSink(stream)
                self._close.append(stream.close)
        self._made.append((uri, str(shown), sink))
        return sink

    def _path(self) -> Path:
        path = Path(self._out or "")
        number = len(self._made) + 1
        return path if number == 1 else path.with_stem(f"{path.stem}-{number}")

    def close(self) -> list[str]:
        """Finish what is still open; return what to tell."""
        for close in self._close:
            close()
        if self._out is not None and not self._made:
            return [f"no device was opened: {self._out} was not written"]
        return [f"{uri}: {path}" for uri, path, _ in self._made]


def _run(command: Sequence[str]) -> None:
    """Run a program as the interpreter would; exits with its status where it failed."""
    first, *arguments = command
    before = sys.argv, sys.path[:]
    try:
        if first == "pymmio":
            _run_pymmio(arguments)
        else:
            _run_python(first, arguments)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        _show(error)
        sys.exit(1)
    finally:
        sys.argv, sys.path[:] = before


def _run_pymmio(arguments: Sequence[str]) -> None:
    from pymmio.cli.app import cli

    try:
        cli.main(list(arguments), prog_name="pymmio")
    except SystemExit as end:
        if end.code:
            raise


def _run_python(first: str, arguments: Sequence[str]) -> None:
    import runpy

    if first == "-m":
        if not arguments:
            raise click.UsageError("-m needs the name of a module")
        sys.argv = list(arguments)
        sys.path.insert(0, os.getcwd())
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    if not os.path.exists(first):
        raise click.UsageError(
            f"there is no script {first!r}; write a path, -m MODULE, or pymmio COMMAND"
        )
    sys.argv = [first, *arguments]
    sys.path.insert(0, os.path.dirname(os.path.abspath(first)))
    runpy.run_path(first, run_name="__main__")


def _show(error: BaseException) -> None:
    """Print what the interpreter would print, without the frames that run the program."""
    import traceback

    if isinstance(error, click.UsageError):
        raise error
    frames = error.__traceback__
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)


def _is_ours(filename: str) -> bool:
    return filename == __file__ or "runpy" in filename
