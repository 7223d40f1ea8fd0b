"""``pymmio check accessors``: is one access one access?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymmio.cli.options import json_option

if TYPE_CHECKING:
    from pymmio.check.accessors import Options, Row, Verdict
    from pymmio.check.accessors.verdict import Direction

__all__ = ["accessors"]


@click.command(
    "accessors",
    short_help="Is one access of a program one access of memory?",
    epilog="""\b
Examples:
  pymmio check accessors                                   pymmio and what else Python has
  pymmio check accessors --subject 'glibc memcpy' --json
  pymmio check accessors --object libmine.so --symbol read_status --width 4
  pymmio check accessors --object pymmio-0.1.0-cp311-abi3-linux_x86_64.whl
  pymmio check accessors --callable mypackage.io:peek --width 4
""",
)
@click.option(
    "--subject",
    "subjects",
    multiple=True,
    metavar="NAME",
    help="Only this ready subject; may be given several times.",
)
@click.option(
    "--width",
    "widths",
    multiple=True,
    type=click.IntRange(min=1),
    metavar="BYTES",
    help="Only this width in bytes; may be given several times.",
)
@click.option(
    "--object",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A shared object or a wheel: its exception table, or one function of it (--symbol).",
)
@click.option("--symbol", metavar="NAME", help="A function of --object; its first argument points.")
@click.option(
    "--callable", "target", metavar="MODULE:FUNCTION", help="A function of Python; see below."
)
@click.option("--write", "is_write", is_flag=True, help="--symbol or --callable writes.")
@click.option(
    "--recorder",
    type=click.Choice(["fault", "emulator"]),
    default="fault",
    show_default=True,
    help="How accesses are recorded: page faults, or QEMU's user emulation and a C compiler.",
)
@json_option
def accessors(
    subjects: tuple[str, ...],
    widths: tuple[int, ...],
    path: Path | None,
    symbol: str | None,
    target: str | None,
    is_write: bool,
    recorder: str,
    as_json: bool,
) -> int:
    """Show of each way to access memory whether one access stays one access.

    static: its code, disassembled; every instruction of pymmio's exception table. dynamic: what
    is recorded while Python calls it. atomic: whether a concurrent writer's values are seen in
    part; that counts only if a subject that is known to be torn is seen torn in the same run.
    The verdict is exact only if all three are. What cannot be shown is unproven.

    A function of --object is called with a pointer and returns the value, an unsigned integer of
    the width; with --write it takes the value after the pointer. A function of --callable is
    called with (memoryview, offset, width), with --write with the value too. All of it runs in
    child processes on memory of their own.

    Exit code 1 unless what was asked for is exact: pymmio itself without other subjects, and the
    static part alone where --object has no --symbol.
    """
    from pymmio.check.accessors import Options
    from pymmio.cli.errors import ExitCode
    from pymmio.cli.output import print_json, progress_share

    _check_usage(subjects, path, symbol, target, is_write)
    direction: Direction = "write" if is_write else "read"
    with progress_share("Watching accesses") as progress:
        options = Options(recorder=recorder, progress=progress)
        rows, is_good = _prove(subjects, widths, path, symbol, target, direction, options)
    if as_json:
        print_json(rows)
    else:
        _show(rows)
    return ExitCode.OK if is_good else ExitCode.FAILURE


def _check_usage(
    subjects: Sequence[str],
    path: Path | None,
    symbol: str | None,
    target: str | None,
    is_write: bool,
) -> None:
    if sum(map(bool, (subjects, path, target))) > 1:
        raise click.UsageError("one of --subject, --object and --callable")
    if symbol and not path:
        raise click.UsageError("--symbol belongs to --object")
    if is_write and not (symbol or target):
        raise click.UsageError("--write belongs to --symbol or --callable")


def _prove(
    subjects: Sequence[str],
    widths: Sequence[int],
    path: Path | None,
    symbol: str | None,
    target: str | None,
    direction: Direction,
    options: Options,
) -> tuple[list[Row], bool]:
    """Return the rows, and whether what was asked for is exact."""
    from pymmio.check.accessors import (
        Verdict,
        prove_callable,
        prove_function,
        prove_subjects,
        prove_table,
    )

    def exact(row: Row) -> bool:
        return row.verdict is Verdict.EXACT

    if path and not symbol:
        rows = [row for row in prove_table(path) if not widths or row.width in widths]
        return rows, all(row.static is Verdict.EXACT for row in rows)
    if path and symbol:
        if len(widths) != 1:
            raise click.UsageError("--symbol takes one --width")
        rows = prove_function(path, symbol, width=widths[0], direction=direction, options=options)
        return rows, exact(rows[0])
    if target:
        asked = widths or (1, 2, 4, 8)
        rows = prove_callable(target, widths=asked, direction=direction, options=options)
        return rows, all(map(exact, rows[: len(asked)]))
    rows = prove_subjects(subjects, widths=widths, options=options)
    names = subjects or ("pymmio",)
    return rows, all(exact(row) for row in rows if row.subject in names)


_HEADS = ("subject", "access", "bytes", "static", "dynamic", "atomic", "verdict", "what was seen")


def _show(rows: Sequence[Row]) -> None:
    from pymmio.cli.output import is_terminal, show_table

    lines = list(_lines(rows))
    if is_terminal():
        _draw(lines)
    else:
        show_table(_HEADS, [(name, *cells, said) for name, cells, said in lines])


def _lines(rows: Sequence[Row]) -> list[tuple[str, tuple[str, ...], str]]:
    """Join widths whose verdicts agree; what is said of the widest stands for all."""

    def key(row: Row) -> tuple[str, str, tuple[Verdict, ...]]:
        return row.subject, row.direction, (row.static, row.dynamic, row.atomic, row.verdict)

    lines = []
    for (subject, direction, verdicts), group in groupby(rows, key):
        same = list(group)
        widths = " ".join(str(row.width) for row in same)
        cells = (direction, widths, *(verdict.value for verdict in verdicts))
        mark = " *" if same[0].is_control else ""
        lines.append((subject + mark, cells, same[-1].detail))
    return lines


_STYLES = {"exact": "green", "unproven": "yellow"}


def _draw(lines: Sequence[tuple[str, tuple[str, ...], str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from pymmio.cli.output import console

    table = Table(box=box.ROUNDED)
    for head in _HEADS[:3]:
        table.add_column(head, overflow="fold")
    for head in _HEADS[3:7]:
        table.add_column(head, no_wrap=True)
    table.add_column(_HEADS[7], overflow="fold", ratio=1)
    last = ""
    for subject, (direction, widths, *verdicts), said in lines:
        table.add_row(
            Text("" if subject == last else subject),
            Text(direction),
            Text(widths),
            *(Text(word, style=_STYLES.get(word, "bold red")) for word in verdicts),
            Text(said, style="dim"),
        )
        last = subject
    out = console()
    out.print(table)
    if any(subject.endswith(" *") for subject, *_ in lines):
        out.print(Text("* known before: they show that the check sees what it should"))
