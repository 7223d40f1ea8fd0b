"""``pymmio regs``: the registers of a device by name, once or as they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pymmio.cli.complete import complete_driver
from pymmio.cli.options import DeviceCommand, Target

if TYPE_CHECKING:
    from pymmio.regs import RegisterDump

__all__ = ["regs"]


@click.command(
    cls=DeviceCommand,
    short_help="Registers by name, as the device's driver declares them.",
    epilog="""\b
Examples:
  pymmio regs sim:edu
  pymmio regs sim:nvme --json | jq '.registers[] | select(.name == "csts") | .fields'
  pymmio regs vfio:0000:01:00.0 --driver nvme
  pymmio regs sim:nvme --watch --interval 0.1 --count 3
""",
)
@click.option(
    "--driver",
    metavar="NAME",
    shell_complete=complete_driver,
    help="Use this driver's registers, whatever it matches.",
)
@click.option(
    "--side-effects", is_flag=True, help="Read registers too whose reads change the device."
)
@click.option(
    "--watch", "is_watched", is_flag=True, help="Read again and again and mark what changes."
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.01),
    metavar="SECONDS",
    help="Time between two readings of --watch, 0.5 by default.",
)
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="End --watch after N readings."
)
def regs(
    target: Target,
    driver: str | None,
    side_effects: bool,
    is_watched: bool,
    interval: float | None,
    count: int | None,
    as_json: bool,
) -> None:
    """Read and show the registers of the device URI.

    The names come from the driver that takes the device, found among all that are installed
    (entry-point group pymmio.drivers). Each register is read once; nothing is written.

    --watch shows a table that is kept up to date, until Ctrl-C. Where the output is no terminal
    it prints a line for each change, with --json an object a line. It never reads registers
    whose reads have side effects.
    """
    from pymmio.cli.drivers import registers_of
    from pymmio.cli.output import print_json, show_dump
    from pymmio.cli.watch import watch

    if is_watched and side_effects:
        raise click.UsageError("--watch never reads what has side effects: not with --side-effects")
    if not is_watched and (interval is not None or count is not None):
        raise click.UsageError("--interval and --count belong to --watch")
    with target.open() as device:
        device.config.check_present()
        registers = registers_of(device, driver=driver)
        if is_watched:

            def read() -> RegisterDump:
                device.config.check_present()
                return registers.dump()

            interval_s = 0.5 if interval is None else interval
            watch(read, interval_s=interval_s, count=count, as_json=as_json)
            return
        dump = registers.dump(side_effects=side_effects)
    if as_json:
        print_json({"uri": target.uri, **dump.as_dict()})
    else:
        show_dump(dump)
