"""``pymmio config``: configuration space, decoded and as bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from pymmio.cli.options import DeviceCommand, Target

if TYPE_CHECKING:
    from pymmio.device import Device

__all__ = ["config"]

_HEADER_SIZE = 64  # PCI Local Bus 3.0 §6.1: what lies behind depends on the device


@click.command(
    cls=DeviceCommand,
    short_help="Configuration space, decoded and as bytes.",
    epilog="""\b
Examples:
  pymmio config sim:edu
  pymmio config vfio:0000:01:00.0 --all
  pymmio config sim:nvme --json | jq .command
""",
)
@click.option("--all", "whole", is_flag=True, help="Dump the whole space, not only the header.")
def config(target: Target, whole: bool, as_json: bool) -> None:
    """Show the configuration space header of the device URI, decoded, and its bytes.

    Opening the device switches memory decoding on, as every command does. --all reads what
    lies behind the header too, where vendors may have put registers that act on reads.
    """
    from pymmio.cli.output import print_json, print_plain, show_facts
    from pymmio.handle import CONFIG_REGION
    from pymmio.pci import hex_dump, system_names

    with target.open() as device:
        space = device.config
        space.check_present()
        facts = space.as_dict()
        size = space.size if whole else _HEADER_SIZE
        data = device.region(CONFIG_REGION).read_block(0, size, width=4)
        names = system_names()
        ids = space.ids
        if as_json:
            extra = {"uri": target.uri, "name": names.describe(ids), "size": space.size}
            regions = [asdict(info) for info in device.regions.values()]
            print_json({**extra, **facts, "regions": regions, "bytes": data})
            return
        show_facts(
            [
                ("name", names.describe(ids)),
                ("class", f"{ids.class_code:06x}  {names.class_name(ids.class_code)}"),
                ("vendor:device", f"{ids.vendor_id:04x}:{ids.device_id:04x}"),
                ("subsystem", f"{ids.subsystem_vendor_id:04x}:{ids.subsystem_id:04x}"),
                ("revision", f"{ids.revision_id:02x}"),
                ("command", _words(facts["command"])),
                ("status", _words(facts["status"])),
                *_regions(device),
                ("interrupt", _interrupt(space.interrupt_pin)),
                ("space", f"{space.size} bytes"),
            ],
            title=f"configuration space of {target.uri}",
        )
        print_plain(hex_dump(data))


def _regions(device: Device) -> Iterator[tuple[str, str]]:
    """Give name and description of the BARs and the ROM.

    Sizes are those that the backend knows: finding them out in the device would write to it.
    """
    from pymmio.cli.sizes import size_text
    from pymmio.handle import CONFIG_REGION

    decoded = {bar.index: str(bar).partition(": ")[2] for bar in device.config.bars()}
    for index, info in sorted(device.regions.items()):
        if index < CONFIG_REGION:
            what = decoded.get(index, "no address in its register")
            yield info.name, f"{size_text(info.size)}, {what}"


def _interrupt(pin: int) -> str:
    from pymmio.pci import InterruptPin

    if pin == InterruptPin.NONE:
        return "no INTx pin"
    return pin.name if isinstance(pin, InterruptPin) else f"unknown pin {pin}"


def _words(names: object) -> str:
    """Write COMMAND and STATUS bits as words."""
    assert isinstance(names, list)
    return ", ".join(name.lower().replace("_", " ") for name in names) or "none"
