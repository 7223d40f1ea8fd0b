"""What commands print: tables for people, plain columns for pipes, JSON for programs.

On a terminal rich draws tables that fit its width.  Elsewhere there are no colours, no
frames and no line breaks inside a row: columns are as wide as what stands in them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import ProgressColumn, TaskID
    from rich.text import Text

__all__ = [
    "Progress",
    "can_draw",
    "console",
    "is_terminal",
    "note",
    "print_hex",
    "print_json",
    "print_lines",
    "print_plain",
    "progress",
    "progress_share",
    "show_dump",
    "show_facts",
    "show_table",
    "waiting",
]


_HEX_LINE = 16
_PATIENCE_S = 1.0


def is_terminal() -> bool:
    """Whether a person looks at the output."""
    return sys.stdout.isatty()


def console() -> Console:
    """Return a console for standard output, as it is now."""
    from rich.console import Console

    return Console(highlight=False)


def note(text: str) -> None:
    """Print a remark on standard error, where it is in nobody's way."""
    click.echo(f"pymmio: {text}", err=True)


def print_json(value: object) -> None:
    """Print ``value`` as JSON: bytes in hexadecimal, objects by their ``as_dict()``."""
    click.echo(json.dumps(value, indent=2, default=_plain_value))


def _plain_value(value: object) -> object:
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    as_dict = getattr(value, "as_dict", None)
    return as_dict() if callable(as_dict) else str(value)


def print_plain(text: object) -> None:
    """Print text as it is: no markup, no colours, no wrapping."""
    click.echo(text)


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
    fold: Sequence[str] = (),
    lines: bool = False,
) -> None:
    """Print a table; the columns in ``right`` hold numbers, those in ``fold`` may be wrapped.

    Names of columns may have two lines.  ``lines`` draws them between rows, on a terminal.
    """
    cells = [list(row) for row in rows]
    if not is_terminal():
        heads = [column.replace("\n", ", ") for column in columns]
        print_plain(_columns([heads, *cells], [column in right for column in columns]))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title,
        box=box.ROUNDED,
        title_justify="left",
        title_style="bold",
        show_lines=lines,
    )
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column not in fold,
            overflow="fold" if column in fold else "ellipsis",
        )
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    console().print(table)


def show_facts(facts: Iterable[tuple[str, str]], *, title: str | None = None) -> None:
    """Print names and values in two columns."""
    lines = [[name, value] for name, value in facts]
    if not is_terminal():
        heading = f"{title}\n" if title else ""
        print_plain(heading + _columns(lines, [False, False]))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, box=box.ROUNDED, show_header=False, title_justify="left", title_style="bold"
    )
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(Text(name), Text(value))
    console().print(table)


def _columns(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Align cells in columns, two spaces apart; an empty cell is a dash."""
    cells = [[cell or "-" for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    )


def can_draw() -> bool:
    """Whether standard output takes the characters that bars are drawn with."""
    return (sys.stdout.encoding or "ascii").lower().replace("-", "").startswith("utf")


def print_lines(lines: Iterable[Text], *, title: str | None = None) -> None:
    """Print lines of text with styles; elsewhere than on a terminal without."""
    shown = console() if is_terminal() else None
    if title:
        print_plain(title) if shown is None else shown.print(title, style="bold", markup=False)
    for line in lines:
        print_plain(line.plain.rstrip()) if shown is None else shown.print(line)


class Progress(Protocol):
    """Where work says how far it is."""

    def __call__(self, done: int, /) -> None:
        """Note that ``done`` bytes more are through."""
        ...


@contextmanager
def progress(title: str, total: int, *, keep: bool = False) -> Iterator[Progress]:
    """Show a bar for ``total`` bytes while a person looks.

    It stands on standard error and goes away at the end, unless ``keep`` says that it is part
    of what the command tells.
    """
    if not (is_terminal() and sys.stderr.isatty()):
        yield _nothing
        return
    from rich.progress import DownloadColumn, TransferSpeedColumn

    with _bar(title, total, [DownloadColumn(binary_units=True), TransferSpeedColumn()], keep) as (
        bars,
        task,
    ):
        yield lambda done: bars.advance(task, done)


@contextmanager
def progress_share(title: str) -> Iterator[Callable[[float], None] | None]:
    """Show a bar for work that says which share of it is done; None while nobody looks.

    Until it says something the bar only shows that there is work.
    """
    if not (is_terminal() and sys.stderr.isatty()):
        yield None
        return
    with _bar(title, None, [], keep=False) as (bars, task):
        yield lambda share: bars.update(task, total=1.0, completed=share)


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """Say what is waited for if the block takes longer than a second and a person looks."""
    if not sys.stderr.isatty():
        yield
        return
    import threading

    with ExitStack() as shown:
        lock, is_over = threading.Lock(), False

        def show() -> None:
            from rich.console import Console

            with lock:
                if not is_over:
                    shown.enter_context(Console(stderr=True).status(f"{title} ..."))

        timer = threading.Timer(_PATIENCE_S, show)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with lock:
                is_over = True


@contextmanager
def _bar(
    title: str, total: float | None, columns: Sequence[ProgressColumn], keep: bool
) -> Iterator[tuple[Bars, TaskID]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeElapsedColumn(),
        console=Console(stderr=not keep),
        transient=not keep,
    )
    with bars:
        yield bars, bars.add_task(title, total=total)


def _nothing(done: int, /) -> None:
    pass


class Dump(Protocol):
    """A dump of registers or of a structure: a rich table, and text."""

    def __rich__(self) -> Any: ...

    def text(self) -> str: ...


def show_dump(dump: Dump) -> None:
    """Print a dump: a table for people, else text."""
    if is_terminal():
        console().print(dump)
    else:
        print_plain(dump.text())


def print_hex(pieces: Iterable[bytes], *, base: int = 0) -> None:
    """Print bytes with their offsets and as ASCII; lines that repeat are one ``*``.

    Each piece but the last is a multiple of 16 bytes long.
    """
    offset, previous, starred = base, b"", False
    for piece in pieces:
        for at in range(0, len(piece), _HEX_LINE):
            line = piece[at : at + _HEX_LINE]
            if line != previous:
                text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in line)
                print_plain(f"{offset:08x}: {line.hex(' '):<{3 * _HEX_LINE - 1}}  {text}")
            elif not starred:
                print_plain("*")
            starred = line == previous
            previous = line
            offset += len(line)
    if starred:
        print_plain(f"{offset:08x}:")
