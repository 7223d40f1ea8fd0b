"""``pymmio nvme write``: bytes of a file to blocks of a namespace."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

import click

from pymmio.cli.nvme.common import (
    NamespaceCommand,
    chunk_buffer,
    chunks,
    open_controller,
    require_range,
)
from pymmio.cli.options import Target, require_write
from pymmio.cli.sizes import size

if TYPE_CHECKING:
    from pymmio.cli.output import Progress
    from pymmio_drivers.nvme import Namespace

__all__ = ["write"]


@click.command(
    cls=NamespaceCommand,
    short_help="Write a file to blocks.",
    epilog="""\b
Examples:
  pymmio nvme write 'sim:nvme?file=disk.img' --lba 0 --input first.img --write
  pymmio nvme write vfio:0000:01:00.0 --lba 2048 --input first.img --write
  printf %4096s hello | pymmio nvme write sim:nvme --lba 0 --input -
""",
)
@click.option("--lba", required=True, type=size, metavar="LBA", help="First block.")
@click.option(
    "-i",
    "--input",
    "source",
    required=True,
    type=click.File("rb"),
    metavar="FILE",
    help="Bytes to write, a whole number of blocks; '-' is standard input.",
)
@click.option(
    "--write", "allowed", is_flag=True, help="Really write; refused without it, save on sim:."
)
def write(
    target: Target, nsid: int, lba: int, source: IO[bytes], allowed: bool, as_json: bool
) -> None:
    """Write a file to the NVMe controller URI from block LBA on, then flush.

    What was in those blocks is lost. Without --write nothing is opened, except a model in
    this process that keeps its blocks in no file.
    """
    from pymmio.cli.output import note, print_json, progress
    from pymmio.cli.sizes import size_text

    require_write(allowed or target.is_simulated, "this overwrites blocks of the device")
    source, total = _sized(source)
    with open_controller(target) as controller, ExitStack() as stack:
        namespace = controller.namespaces[nsid]
        blocks = _blocks(namespace, total)
        require_range(namespace, lba, blocks)
        advance = stack.enter_context(progress("writing", total))
        _write(namespace, lba, blocks, source, advance)
        namespace.flush()
    if as_json:
        print_json({"uri": target.uri, "nsid": nsid, "lba": lba, "blocks": blocks, "bytes": total})
    else:
        note(f"wrote {size_text(total)} to blocks {lba} to {lba + blocks - 1}, flushed")


def _sized(source: IO[bytes]) -> tuple[IO[bytes], int]:
    """Return the input and its length; what comes through a pipe is kept in memory."""
    if source.seekable():
        start = source.tell()
        length = source.seek(0, os.SEEK_END) - start
        source.seek(start)
        return source, length
    data = source.read()
    return io.BytesIO(data), len(data)


def _blocks(namespace: Namespace, total: int) -> int:
    if total == 0 or total % namespace.block_size:
        raise click.UsageError(
            f"the input has {total} bytes, no whole number of blocks of"
            f" {namespace.block_size} bytes: nothing was written",
            click.get_current_context(silent=True),
        )
    return total // namespace.block_size


def _write(
    namespace: Namespace, lba: int, blocks: int, source: IO[bytes], advance: Progress
) -> None:
    with chunk_buffer(namespace, blocks) as buffer:
        for at, count in chunks(namespace, lba, blocks):
            length = count * namespace.block_size
            data = source.read(length)
            if len(data) != length:
                raise OSError(f"the input became shorter: {len(data)} bytes of {length}")
            with memoryview(buffer) as view:
                view[:length] = data
            namespace.write(buffer, lba=at, blocks=count)
            advance(length)
