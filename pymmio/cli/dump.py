"""``pymmio dump``: configuration space, BARs and ROM of a device as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pymmio.cli.options import DeviceCommand, Target

if TYPE_CHECKING:
    from pymmio.device import Device
    from pymmio.regs import RegisterFile

__all__ = ["dump"]


def bar_and_width(text: str) -> tuple[int, int]:
    """Convert ``0:32`` or ``bar0:32``: index of a BAR, bits of each access."""
    index, _, bits = text.lower().removeprefix("bar").partition(":")
    if index not in tuple("012345") or bits not in ("8", "16", "32", "64"):
        raise click.BadParameter(f"{text!r}; write BAR:WIDTH, such as 0:32 (width in bits)")
    return int(index), int(bits) // 8


@click.command(
    cls=DeviceCommand,
    short_help="Configuration space, BARs and ROM as files.",
    epilog="""\b
Examples:
  pymmio dump sim:nvme before
  pymmio dump vfio:0000:01:00.0 before --bar 0:32
  pymmio dump vfio:0000:01:00.0 before --bar 0:32 --bar 2:8 --force
""",
)
@click.argument("directory", metavar="DIRECTORY")
@click.option(
    "--bar",
    "bars",
    metavar="BAR:WIDTH",
    multiple=True,
    type=bar_and_width,
    help="Dump this BAR too, in accesses of so many bits; may be given several times.",
)
@click.option("--force", is_flag=True, help="Dump BARs although reads may change the device.")
def dump(
    target: Target, directory: str, bars: tuple[tuple[int, int], ...], force: bool, as_json: bool
) -> None:
    """Write what the device URI holds into the new DIRECTORY: dump.json and bytes.

    Configuration space and the expansion ROM are always there. A BAR is read as a whole, each
    value one access, and only where the device's driver declares registers whose reads do no
    harm, or it is plain memory; --force reads it nevertheless.
    """
    from pathlib import Path

    from pymmio.cli.output import print_json, print_plain, progress
    from pymmio.dumping import write_dump

    with target.open() as device:
        device.config.check_present()
        sizes = (info.size for i, info in device.regions.items() if i in dict(bars))
        with progress("reading", sum(sizes)) as advance:
            paths = write_dump(
                device,
                Path(directory),
                bars=dict(bars),
                registers=_registers(device) if bars else None,
                force=force,
                on_progress=advance,
            )
    if as_json:
        print_json({"uri": target.uri, "files": [str(path) for path in paths]})
        return
    for path in paths:
        print_plain(f"{path}  {path.stat().st_size} bytes")


def _registers(device: Device) -> RegisterFile | None:
    """Return the registers that a driver declares, None if no driver does."""
    from pymmio.cli.drivers import registers_of
    from pymmio.errors import Unsupported

    try:
        return registers_of(device)
    except Unsupported:
        return None
