"""``pymmio peek`` and ``pymmio poke``: single accesses of declared width."""

from __future__ import annotations

import click

from pymmio.cli.complete import REGIONS, complete_region
from pymmio.cli.options import DeviceCommand, Target, require_write
from pymmio.cli.sizes import number, size

__all__ = ["peek", "poke"]

_LINE_BYTES = 16


def region_index(text: str) -> int:
    """Convert a region's name, or its index as in VFIO: 0 to 5 BARs, 6 ROM, 7 config space."""
    if text.lower() in REGIONS:
        return REGIONS.index(text.lower())
    if text.isascii() and text.isdigit():
        return int(text)
    raise click.BadParameter(f"{text!r} is no region; write {', '.join(REGIONS)} or a number")


_region = click.argument(
    "region", metavar="REGION", type=region_index, shell_complete=complete_region
)
_offset = click.argument("offset", metavar="OFFSET", type=size)
_width = click.option(
    "--width",
    required=True,
    type=click.Choice(["8", "16", "32", "64"]),
    help="Bits of the access; always say it, devices tell widths apart.",
)


@click.command(
    cls=DeviceCommand,
    short_help="Read exactly as wide as you say.",
    epilog="""\b
Examples:
  pymmio peek sim:edu bar0 0x0 --width 32
  pymmio peek vfio:0000:01:00.0 config 0x0 --width 16 --count 4
  pymmio peek sim:nvme bar0 0x0 --width 64 --trace
""",
)
@_region
@_offset
@_width
@click.option(
    "--count", type=click.IntRange(min=1), default=1, help="Read so many, one after the other."
)
def peek(target: Target, region: int, offset: int, width: str, count: int, as_json: bool) -> None:
    """Read from REGION of the device URI at OFFSET, exactly as wide as --width says.

    REGION is bar0 to bar5, rom, config, or its number. Each value is one access. What lies
    outside the region or is misaligned is refused before anything is read.
    """
    from pymmio.cli.output import print_json, print_plain, progress
    from pymmio.mmio import plan

    step = int(width) // 8
    places = range(offset, offset + count * step, step)
    with target.open() as device:
        memory = device.region(region)
        for at in (places[0], places[-1]):  # what holds for these holds for those between
            plan(memory.rule, at, step, memory.size, region=memory.name)
        with progress("reading", count * step) as advance:
            values = []
            for at in places:
                values.append(memory.read(at, step))
                advance(step)
    if as_json:
        print_json(
            {
                "uri": target.uri,
                "region": region,
                "offset": offset,
                "width": int(width),
                "values": values,
            }
        )
    elif count == 1:
        print_plain(f"{values[0]:#0{2 + 2 * step}x}")
    else:
        digits = max(4, len(f"{places[-1]:x}"))
        row = _LINE_BYTES // step
        for first in range(0, count, row):
            cells = " ".join(f"{value:0{2 * step}x}" for value in values[first : first + row])
            print_plain(f"{places[first]:0{digits}x}: {cells}")


@click.command(
    cls=DeviceCommand,
    short_help="Write exactly as wide as you say.",
    epilog="""\b
Examples:
  pymmio poke sim:edu bar0 0x4 0x12345678 --width 32 --write
  pymmio poke vfio:0000:01:00.0 config 0x4 0x6 --width 16 --write
""",
)
@_region
@_offset
@click.argument("value", metavar="VALUE", type=number)
@_width
@click.option("--write", "allowed", is_flag=True, help="Really write; refused without it.")
def poke(
    target: Target,
    region: int,
    offset: int,
    value: int,
    width: str,
    allowed: bool,
    as_json: bool,
) -> None:
    """Write VALUE to REGION of the device URI at OFFSET, exactly as wide as --width says.

    One access, of which nothing is read back. A wrong write can stop a device, or the
    machine: without --write nothing is even opened.
    """
    from pymmio.cli.output import print_json

    require_write(allowed, f"poke writes {value:#x} to the device")
    step = int(width) // 8
    with target.open() as device:
        device.region(region).write(offset, step, value)
    if as_json:
        print_json(
            {
                "uri": target.uri,
                "region": region,
                "offset": offset,
                "width": int(width),
                "value": value,
            }
        )
