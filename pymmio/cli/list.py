"""``pymmio list``: the PCI functions of this machine."""

from __future__ import annotations

import click

from pymmio.cli.options import json_option

__all__ = ["list_devices"]


@click.command(
    "list",
    short_help="The PCI devices of this machine.",
    epilog="""\b
Examples:
  pymmio list
  pymmio list --json | jq -r '.[] | select(.class_code == 0x010802) | .address'
""",
)
@json_option
def list_devices(as_json: bool) -> None:
    """List PCI devices: address, class, name, kernel driver, IOMMU group.

    Reads what the kernel shows and touches no device. Any user may run it.
    """
    from pymmio import discover
    from pymmio.cli.output import note, print_json, show_table

    devices = discover()
    if as_json:
        print_json([device.as_dict() for device in devices])
    elif not devices:
        note("no PCI device here; sim:edu and sim:nvme need none")
    else:
        show_table(
            ("address", "class", "name", "driver", "group"),
            [
                (
                    str(device.address),
                    device.class_name,
                    device.name,
                    device.driver or "",
                    "" if device.iommu_group is None else str(device.iommu_group),
                )
                for device in devices
            ],
            right=("group",),
            fold=("class", "name"),
        )
