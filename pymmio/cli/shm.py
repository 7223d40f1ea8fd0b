"""``pymmio shm``: shared-memory regions of virtio devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymmio.cli.content import output_option, require_one_use, show_content
from pymmio.cli.options import DeviceCommand, Target
from pymmio.cli.sizes import size

if TYPE_CHECKING:
    from pymmio_drivers.virtio_shm import VirtioSharedMemory

__all__ = ["shm"]

_CHUNK = 1 << 20


@click.group(
    epilog="""\b
Examples:
  pymmio shm list 'sim:virtio-shm?count=2'
  pymmio shm map sim:virtio-shm 0
  pymmio shm dump sim:virtio-shm 1 --size 4096 --output part

The device is neither reset nor started.
""",
)
def shm() -> None:
    """List, map and dump the shared-memory regions of virtio devices."""


@contextmanager
def _open(target: Target) -> Iterator[VirtioSharedMemory]:
    from pymmio_drivers.virtio_shm import VirtioSharedMemory

    with ExitStack() as stack:
        device = stack.enter_context(target.open())
        yield stack.enter_context(VirtioSharedMemory.open(device))


@shm.command(
    name="list",
    cls=DeviceCommand,
    short_help="Which regions there are.",
    epilog="""\b
Example:
  pymmio shm list sim:virtio-shm
""",
)
def list_regions(target: Target, as_json: bool) -> None:
    """List the shared-memory regions of the virtio device URI."""
    from pymmio.cli.output import note, print_json, show_table
    from pymmio.cli.sizes import size_text

    with _open(target) as device:
        found = [(one, device.purpose(one.id)) for one in device.regions]
    if as_json:
        print_json(
            [
                {"id": one.id, "size": one.size, "where": one.where, "purpose": purpose or None}
                for one, purpose in found
            ]
        )
    elif not found:
        note(f"{target.uri} has no shared-memory regions")
    else:
        rows = [(str(one.id), size_text(one.size), one.where, what) for one, what in found]
        show_table(("id", "size", "where", "what for"), rows, right=("id", "size"))


@shm.command(
    name="map",
    cls=DeviceCommand,
    short_help="Map a region and say what it is.",
    epilog="""\b
Example:
  pymmio shm map sim:virtio-shm 0
""",
)
@click.argument("id", type=click.IntRange(0, 255))
def map_region(target: Target, id: int, as_json: bool) -> None:
    """Map shared-memory region ID of the virtio device URI, and say how it may be used."""
    from pymmio.cli.output import print_json, show_facts
    from pymmio.cli.sizes import size_text

    with _open(target) as device:
        memory = device.map(id)
        facts = {
            "uri": target.uri,
            "id": id,
            "size": memory.size,
            "cached": memory.is_cached,
            "dereferenceable": memory.is_dereferenceable,
        }
        if as_json:
            print_json(facts)
            return
        kind = "plain memory" if memory.is_dereferenceable else "a device: aligned accesses only"
        shown = {
            "size": size_text(memory.size),
            "used as": kind,
            "cached": "yes" if memory.is_cached else "no",
        }
        show_facts(shown.items(), title=f"{target.uri}, region {id}")


@shm.command(
    name="dump",
    cls=DeviceCommand,
    short_help="Show the bytes of a region, or save them.",
    epilog="""\b
Examples:
  pymmio shm dump sim:virtio-shm 0 --size 64
  pymmio shm dump vfio:0000:01:00.0 1 --output window
""",
)
@click.argument("id", type=click.IntRange(0, 255))
@click.option("--offset", type=size, default="0", show_default=True, help="First byte.")
@click.option("--size", "length", type=size, help="Bytes; 256 on the screen, else to the end.")
@output_option
def dump_region(
    target: Target,
    id: int,
    offset: int,
    length: int | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show or save the bytes of shared-memory region ID of the virtio device URI."""
    from pymmio.dax.bounds import check_range

    require_one_use(output, as_json)
    with _open(target) as device:
        memory = device.map(id)
        if length is None:
            rest = max(0, memory.size - offset)
            length = rest if output is not None else min(256, rest)
        check_range(memory.name, memory.size, offset, length)

        def pieces(start: int, end: int) -> Iterator[bytes]:
            for at in range(start, end, _CHUNK):
                part = bytearray(min(_CHUNK, end - at))
                memory.read_into(at, part)
                yield bytes(part)

        found = pieces(offset, offset + length)
        asked = {"uri": target.uri, "id": id, "offset": offset, "size": length}
        show_content(found, asked, output, as_json=as_json, base=offset, total=length)
