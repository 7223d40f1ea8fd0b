"""``pymmio caps``: the capabilities of a device."""

from __future__ import annotations

import click

from pymmio.cli.options import DeviceCommand, Target

__all__ = ["caps"]


@click.command(
    cls=DeviceCommand,
    short_help="Capabilities and extended capabilities.",
    epilog="""\b
Examples:
  pymmio caps sim:nvme
  pymmio caps vfio:0000:01:00.0 --json | jq '.capabilities[] | select(.name == "MSI-X")'
""",
)
def caps(target: Target, as_json: bool) -> None:
    """List the capabilities and extended capabilities of the device URI."""
    from pymmio.cli.output import note, print_json, show_table

    with target.open() as device:
        device.config.check_present()
        found = device.config.capabilities()
        extended = device.config.extended_capabilities()
        if as_json:
            print_json(
                {"uri": target.uri, "capabilities": found, "extended_capabilities": extended}
            )
            return
        rows = []
        for capability in found:
            _, _, facts = str(capability).partition(": ")
            rows.append(
                (f"{capability.offset:02x}", f"{capability.id:02x}", capability.name, facts)
            )
        for one in extended:
            rows.append(
                (f"{one.offset:03x}", f"{one.id:04x}", one.name, f"extended, version {one.version}")
            )
    if rows:
        show_table(("at", "id", "name", "says"), rows, fold=("says",))
    else:
        note(f"{target.uri} has no capabilities")
