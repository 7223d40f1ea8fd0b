"""``pymmio nvme list``: the namespaces of a controller."""

from __future__ import annotations

import click

from pymmio.cli.nvme.common import open_controller
from pymmio.cli.options import DeviceCommand, Target

__all__ = ["list_namespaces"]


@click.command(
    "list",
    cls=DeviceCommand,
    short_help="The namespaces of a controller.",
    epilog="""\b
Examples:
  pymmio nvme list 'sim:nvme?size=64M&ns=2'
  pymmio nvme list vfio:0000:01:00.0 --json | jq '.namespaces[].size'
""",
)
def list_namespaces(target: Target, as_json: bool) -> None:
    """List the active namespaces of the NVMe controller URI."""
    from pymmio.cli.nvme.show import namespace_dict, show_namespaces
    from pymmio.cli.output import note, print_json

    with open_controller(target) as controller:
        namespaces = controller.namespaces.usable(lambda error: note(f"left out: {error}"))
        if as_json:
            found = [namespace_dict(one) for one in namespaces]
            print_json({"uri": target.uri, "namespaces": found})
        elif namespaces:
            show_namespaces(namespaces)
        elif not controller.namespaces:
            note(f"{target.uri} has no active namespace")
