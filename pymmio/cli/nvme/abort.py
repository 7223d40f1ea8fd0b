"""``pymmio nvme abort``: the Abort command."""

from __future__ import annotations

import click

from pymmio.cli.nvme.common import open_controller
from pymmio.cli.options import DeviceCommand, Target
from pymmio.cli.sizes import number

__all__ = ["abort"]


@click.command(
    cls=DeviceCommand,
    short_help="Ask for the end of a command.",
    epilog="""\b
Examples:
  pymmio nvme abort sim:nvme 1 0x12
  pymmio nvme abort vfio:0000:01:00.0 0 3 --json
""",
)
@click.argument("sqid", metavar="SQID", type=number)
@click.argument("cid", metavar="CID", type=number)
def abort(target: Target, sqid: int, cid: int, as_json: bool) -> None:
    """Send Abort for command CID of submission queue SQID to the NVMe controller URI.

    For bringing up a controller: it shows how Abort is answered. As the controller is reset when
    it is opened, there is nothing to abort but what this program sends. Programs abort their own
    commands with Controller.abort(request).
    """
    from pymmio.cli.output import print_json, print_plain

    for name, value in (("SQID", sqid), ("CID", cid)):
        if value > 0xFFFF:
            raise click.BadParameter(f"{value:#x} has more than 16 bits", param_hint=name)
    with open_controller(target) as controller:
        is_aborted = controller.admin.abort(sqid, cid)
    if as_json:
        print_json({"uri": target.uri, "sqid": sqid, "cid": cid, "aborted": is_aborted})
    else:
        verdict = "aborts it" if is_aborted else "did not abort a command"
        print_plain(f"command {cid:#x} of queue {sqid}: the controller {verdict}")
