"""What commands do with bytes that they read: a hex dump, a file, or a part of JSON."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

__all__ = ["output_option", "require_one_use", "show_content"]

output_option = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write the bytes to FILE, '-' is standard output.",
)


def require_one_use(output: Path | None, as_json: bool) -> None:
    """Raise click.UsageError where both the bytes and JSON want standard output."""
    if as_json and output == Path("-"):
        raise click.UsageError("--json and --output - both want standard output")


def show_content(
    pieces: Iterator[bytes],
    asked: Mapping[str, object],
    output: Path | None,
    *,
    as_json: bool,
    base: int,
    total: int,
) -> None:
    """Show or save ``total`` bytes; ``asked`` begins the JSON, ``base`` is the first address.

    A file is made when the first piece is there; what was in it is replaced.
    """
    from pymmio.cli.output import print_hex, print_json

    if output is not None:
        _save(pieces, str(output), total)
        if as_json:
            print_json({**asked, "output": str(output)})
    elif as_json:
        print_json({**asked, "data": b"".join(pieces)})
    else:
        print_hex(pieces, base=base)


def _save(pieces: Iterator[bytes], name: str, total: int) -> None:
    from pymmio.cli.output import progress

    first = next(pieces, b"")
    with progress("reading", total) as advance, click.open_file(name, "wb") as file:
        for piece in itertools.chain((first,), pieces):
            file.write(piece)
            advance(len(piece))
