"""``pymmio regs``: the registers of a device by name."""

from __future__ import annotations

import click

from pymmio.cli.options import DeviceCommand, Target

__all__ = ["regs"]


@click.command(
    cls=DeviceCommand,
    short_help="Registers by name, as the device's driver declares them.",
    epilog="""\b
Examples:
  pymmio regs sim:edu
  pymmio regs sim:nvme --json | jq '.registers[] | select(.name == "csts") | .fields'
  pymmio regs vfio:0000:01:00.0 --driver nvme
""",
)
@click.option("--driver", metavar="NAME", help="Use this driver's registers, whatever it matches.")
@click.option(
    "--side-effects", is_flag=True, help="Read registers too whose reads change the device."
)
def regs(target: Target, driver: str | None, side_effects: bool, as_json: bool) -> None:
    """Read and show the registers of the device URI.

    The names come from the driver that takes the device, found among all that are installed
    (entry-point group pymmio.drivers). Each register is read once; nothing is written.
    """
    from pymmio.cli.drivers import registers_of
    from pymmio.cli.output import print_json, show_dump

    with target.open() as device:
        device.config.check_present()
        dump = registers_of(device, driver=driver).dump(side_effects=side_effects)
    if as_json:
        print_json({"uri": target.uri, **dump.as_dict()})
    else:
        show_dump(dump)
