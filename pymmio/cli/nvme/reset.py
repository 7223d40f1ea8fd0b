"""``pymmio nvme reset``: of the controller, or of its PCI function."""

from __future__ import annotations

import time

import click

from pymmio.cli.nvme.common import open_controller
from pymmio.cli.options import DeviceCommand, Target, ask, require_yes, yes_option
from pymmio.cli.sizes import duration_text

__all__ = ["reset"]


@click.command(
    cls=DeviceCommand,
    short_help="Reset the controller, or its PCI function.",
    epilog="""\b
Examples:
  pymmio nvme reset sim:nvme
  pymmio nvme reset vfio:0000:01:00.0 --function
  pymmio nvme reset vfio:0000:01:00.0 --yes --json
""",
)
@click.option(
    "--function", "is_function", is_flag=True, help="Reset the PCI function instead, by its FLR."
)
@yes_option
def reset(target: Target, is_function: bool, yes: bool, as_json: bool) -> None:
    """Reset the NVMe controller URI, start it again, and tell how long that took.

    A controller reset clears and sets CC.EN. --function uses what the system has to reset the
    PCI function, such as a function-level reset, also if the controller does not answer any
    more. What was not saved is lost: features, and commands that are under way.
    """
    from pymmio.cli.output import print_json, print_plain

    what = "the PCI function" if is_function else "the controller"
    is_asked = require_yes(yes, target, f"this resets {what}")
    if is_asked and is_function:
        ask(f"This resets the PCI function of {target.uri}.")
    reset_s, start_s = (_function if is_function else _controller)(target, is_asked)
    if as_json:
        kind = "function" if is_function else "controller"
        times = {"reset_ms": reset_s * 1000, "start_ms": start_s and start_s * 1000}
        print_json({"uri": target.uri, "kind": kind, **times})
    elif start_s is None:
        print_plain(
            f"{target.uri}: {what} was reset and is ready after {duration_text(reset_s * 1e6)}"
        )
    else:
        print_plain(
            f"{target.uri}: {what} was reset in {duration_text(reset_s * 1e6)};"
            f" the controller is ready after {duration_text(start_s * 1e6)} more"
        )


def _controller(target: Target, is_asked: bool) -> tuple[float, float | None]:
    """Return the seconds that a controller reset took, until it was ready again."""
    from pymmio.cli.output import waiting

    with open_controller(target) as controller:
        if is_asked:
            ask(f"This resets {controller.identity.mn} {controller.identity.sn}, {target.uri}.")
        with waiting("resetting the controller"):
            start = time.perf_counter()
            controller.reset()
            return time.perf_counter() - start, None


def _function(target: Target, is_asked: bool) -> tuple[float, float | None]:
    """Return the seconds that the reset of the function took, and the start after it."""
    from pymmio.cli.output import waiting
    from pymmio_drivers.nvme import Controller

    with target.open() as device:
        with waiting("resetting the PCI function"):
            start = time.perf_counter()
            device.reset()
            middle = time.perf_counter()
        with waiting("starting the controller"), Controller.open(device):
            return middle - start, time.perf_counter() - middle
