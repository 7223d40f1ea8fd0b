"""What commands print: tables for people, plain columns for pipes, JSON for programs.

On a terminal rich draws tables that fit its width.  Elsewhere there are no colours, no
frames and no line breaks inside a row: columns are as wide as what stands in them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "Progress",
    "console",
    "is_terminal",
    "note",
    "print_json",
    "print_plain",
    "progress",
    "show_facts",
    "show_table",
]


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


def print_plain(text: str) -> None:
    """Print text as it is: no markup, no colours, no wrapping."""
    click.echo(text)


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
    fold: Sequence[str] = (),
) -> None:
    """Print a table; the columns in ``right`` hold numbers, those in ``fold`` may be wrapped."""
    lines = [list(row) for row in rows]
    if not is_terminal():
        print_plain(_columns([list(columns), *lines], [column in right for column in columns]))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=box.ROUNDED, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column not in fold,
            overflow="fold" if column in fold else "ellipsis",
        )
    for line in lines:
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


class Progress(Protocol):
    """Where work says how far it is."""

    def __call__(self, done: int, /) -> None:
        """Note that ``done`` bytes more are through."""
        ...


@contextmanager
def progress(title: str, total: int, *, keep: bool = False) -> Iterator[Progress]:
    """Show a bar for ``total`` bytes on standard error while a person looks.

    It goes away at the end unless ``keep`` says that it is part of what is told.
    """
    if not (is_terminal() and sys.stderr.isatty()):
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    ]
    with Bars(*columns, console=Console(stderr=True), transient=not keep) as bars:
        task = bars.add_task(title, total=total)

        def advance(done: int) -> None:
            bars.advance(task, done)

        yield advance


def _nothing(done: int, /) -> None:
    pass
