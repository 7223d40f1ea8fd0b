"""``pymmio nvme read``: blocks of a namespace, on the screen or into a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymmio.cli.content import output_option, require_one_use, show_content
from pymmio.cli.nvme.common import (
    NamespaceCommand,
    chunk_buffer,
    chunks,
    open_controller,
    require_range,
)
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
@output_option
def read(
    target: Target, nsid: int, lba: int, blocks: int, output: Path | None, as_json: bool
) -> None:
    """Read blocks from the NVMe controller URI: as a hex dump, or into a file.

    The file is made when the first blocks have been read; what was in it is replaced.
    """
    if blocks == 0:
        raise click.BadParameter("0 blocks are nothing to read", param_hint="--blocks")
    require_one_use(output, as_json)
    with open_controller(target) as controller:
        namespace = controller.namespaces[nsid]
        require_range(namespace, lba, blocks)
        total = blocks * namespace.block_size
        pieces = _read(namespace, lba, blocks)
        asked = {"uri": target.uri, "nsid": nsid, "lba": lba, "blocks": blocks, "bytes": total}
        base = lba * namespace.block_size
        show_content(pieces, asked, output, as_json=as_json, base=base, total=total)


def _read(namespace: Namespace, lba: int, blocks: int) -> Iterator[bytes]:
    """Read in pieces, each into the same DMA memory."""
    with chunk_buffer(namespace, blocks) as buffer:
        for at, count in chunks(namespace, lba, blocks):
            namespace.read(buffer, lba=at, blocks=count)
            with memoryview(buffer) as view:
                yield bytes(view[: count * namespace.block_size])
