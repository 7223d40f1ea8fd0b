"""``pymmio pmem read`` and ``pymmio pmem write``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymmio.cli.content import output_option, require_one_use, show_content
from pymmio.cli.options import Target, require_write
from pymmio.cli.pmem.common import CHUNK_SIZE, PmemCommand, open_pmem
from pymmio.cli.sizes import size

if TYPE_CHECKING:
    from pymmio_drivers.virtio_pmem import VirtioPmem

__all__ = ["read", "write"]


@click.command(
    cls=PmemCommand,
    short_help="Read memory: a hex dump, or into a file.",
    epilog="""\b
Examples:
  pymmio pmem read sim:virtio-pmem --size 64
  pymmio pmem read vfio:0000:01:00.0 --offset 1M --size 16M --output part.img
""",
)
@click.option("--offset", type=size, default="0", show_default=True, help="First byte.")
@click.option("--size", "length", type=size, default="256", show_default=True, help="Bytes.")
@output_option
def read(
    target: Target,
    offset: int,
    length: int,
    output: Path | None,
    memory: str | None,
    as_json: bool,
) -> None:
    """Read the persistent memory of the device URI: as a hex dump, or into a file."""
    require_one_use(output, as_json)
    asked = {"uri": target.uri, "offset": offset, "size": length}
    with open_pmem(target, memory) as pmem:
        pieces = _read(pmem, offset, length)
        show_content(pieces, asked, output, as_json=as_json, base=offset, total=length)


def _read(pmem: VirtioPmem, offset: int, length: int) -> Iterator[bytes]:
    from pymmio.dax.bounds import check_range

    check_range(pmem.name, pmem.size, offset, length)  # before the first of many pieces
    for at in range(offset, offset + length, CHUNK_SIZE):
        yield pmem.read(at, min(CHUNK_SIZE, offset + length - at))


@click.command(
    cls=PmemCommand,
    short_help="Write memory, then flush.",
    epilog="""\b
Examples:
  echo hello | pymmio pmem write sim:virtio-pmem --offset 4096
  pymmio pmem write vfio:0000:01:00.0 --input disk.img --write
""",
)
@click.option("--offset", type=size, default="0", show_default=True, help="First byte.")
@click.option(
    "-i",
    "--input",
    "source",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    default="-",
    metavar="FILE",
    help="What to write; '-', the default, is standard input.",
)
@click.option("--no-flush", is_flag=True, help="Leave it to a later flush to make it durable.")
@click.option(
    "--write",
    "allowed",
    is_flag=True,
    help="Really write; refused without it, save on sim: without a file.",
)
def write(
    target: Target,
    offset: int,
    source: Path,
    no_flush: bool,
    allowed: bool,
    memory: str | None,
    as_json: bool,
) -> None:
    """Write to the persistent memory of the device URI, then make it durable."""
    from pymmio.cli.output import note, print_json, progress
    from pymmio.cli.sizes import size_text
    from pymmio.dax.bounds import check_range

    require_write(allowed or target.is_simulated, "this overwrites persistent memory")
    is_stdin = source == Path("-")
    data = sys.stdin.buffer.read() if is_stdin else source.read_bytes()
    with open_pmem(target, memory) as pmem:
        check_range(pmem.name, pmem.size, offset, len(data))
        with progress("writing", len(data)) as advance, memoryview(data) as view:
            for at in range(0, len(data), CHUNK_SIZE):
                advance(pmem.write(offset + at, view[at : at + CHUNK_SIZE]))
        if not no_flush:
            pmem.flush()
    if as_json:
        done = {"uri": target.uri, "offset": offset, "size": len(data)}
        print_json({**done, "flushed": not no_flush})
    else:
        durable = "not flushed" if no_flush else "flushed"
        note(f"wrote {size_text(len(data))} at {offset:#x}, {durable}")
