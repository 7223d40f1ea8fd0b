"""``pymmio nvme identify``: what a controller or a namespace says about itself."""

from __future__ import annotations

import click

from pymmio.cli.nvme.common import open_controller
from pymmio.cli.options import DeviceCommand, Target

__all__ = ["identify"]


@click.command(
    cls=DeviceCommand,
    short_help="What a controller or namespace says about itself.",
    epilog="""\b
Examples:
  pymmio nvme identify sim:nvme
  pymmio nvme identify vfio:0000:01:00.0 --full
  pymmio nvme identify vfio:0000:01:00.0 --namespace 1 --json | jq .nsze
""",
)
@click.option(
    "-n",
    "--namespace",
    "nsid",
    type=click.IntRange(min=1),
    metavar="ID",
    help="Identify this namespace instead of the controller.",
)
@click.option("--full", is_flag=True, help="Show every field of the structure.")
def identify(target: Target, nsid: int | None, full: bool, as_json: bool) -> None:
    """Show the identify data of the NVMe controller URI, or of a namespace.

    With --json it is the whole structure, by the names of the specification.
    """
    from pymmio.cli.nvme.show import show_controller, show_namespaces
    from pymmio.cli.output import print_json, show_dump

    with open_controller(target) as controller:
        namespace = None if nsid is None else controller.namespaces[nsid]
        dump = (controller if namespace is None else namespace).identity.dump()
        if as_json:
            print_json({"uri": target.uri, **dump.as_dict()})
        elif full:
            show_dump(dump)
        elif namespace is not None:
            show_namespaces([namespace])
        else:
            show_controller(controller, title=target.uri)
