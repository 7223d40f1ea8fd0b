"""``pymmio nvme read``: blocks of a namespace, on the screen or into a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymmio.cli.nvme.common import NamespaceCommand
from pymmio.cli.options import Target
from pymmio.cli.sizes import size

if TYPE_CHECKING:
    from pymmio_drivers.nvme import Namespace

__all__ = ["read"]


@click.command(
    cls=NamespaceCommand,
    short_help="Read blocks: a hex dump, or into a file.",
    epilog="""\b
Examples:
  pymmio nvme read sim:nvme --lba 0
  pymmio nvme read vfio:0000:01:00.0 --lba 0 --blocks 128K --output first.img
  pymmio nvme read vfio:0000:01:00.0 --lba 2048 --blocks 8 --output - | file -
""",
)
@click.option("--lba", required=True, type=size, metavar="LBA", help="First block.")
@click.option(
    "--blocks", type=size, metavar="N", default="1", show_default=True, help="How many blocks."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write the bytes to FILE, '-' is standard output.",
)
def read(
    target: Target, nsid: int, lba: int, blocks: int, output: Path | None, as_json: bool
) -> None:
    """Read blocks from the NVMe controller URI: as a hex dump, or into a file.

    The file is made when the first blocks have been read; what was in it is replaced.
    """
    from pymmio.cli.nvme.common import namespace_of, open_controller, require_range
    from pymmio.cli.output import print_hex, print_json, progress

    if blocks == 0:
        raise click.BadParameter("0 blocks are nothing to read", param_hint="--blocks")
    if as_json and output == Path("-"):
        raise click.UsageError("--json and --output - both want standard output")
    parts: list[bytes] = []
    with open_controller(target) as controller, ExitStack() as stack:
        namespace = namespace_of(controller, nsid)
        require_range(namespace, lba, blocks)
        total = blocks * namespace.block_size
        advance = stack.enter_context(progress("reading", total))
        write = None
        for data in _read(namespace, lba, blocks):
            if output is None:
                parts.append(data)
            else:
                if write is None:
                    write = stack.enter_context(click.open_file(str(output), "wb")).write
                write(data)
            advance(len(data))
    data = b"".join(parts)
    if as_json:
        place = {"output": str(output)} if output else {"data": data}
        print_json(
            {
                "uri": target.uri,
                "nsid": nsid,
                "lba": lba,
                "blocks": blocks,
                "bytes": total,
                **place,
            }
        )
    elif output is None:
        print_hex(data, base=lba * namespace.block_size)


def _read(namespace: Namespace, lba: int, blocks: int) -> Iterator[bytes]:
    """Read in pieces, each into the same DMA memory."""
    from pymmio.cli.nvme.common import chunks

    places = list(chunks(namespace, lba, blocks))
    with namespace.controller.alloc(places[0][1] * namespace.block_size) as buffer:
        for at, count in places:
            namespace.read(buffer, lba=at, blocks=count)
            with memoryview(buffer) as view:
                yield bytes(view[: count * namespace.block_size])
