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
    """List the capabilities and extended capabilities of the device URI.

    What is damaged is told beside what can be read; then the exit code is 1.
    """
    from pymmio.cli.output import note, print_json, show_table
    from pymmio.errors import ProtocolError

    with target.open() as device:
        device.config.check_present()
        survey = device.config.survey_capabilities()
        if as_json:
            print_json({"uri": target.uri, **survey.as_dict()})
        else:
            rows = [
                (f"{c.offset:02x}", f"{c.id:02x}", c.name, c.said()) for c in survey.capabilities
            ]
            rows += [(f"{c.offset:03x}", f"{c.id:04x}", c.name, c.said()) for c in survey.extended]
            if rows:
                show_table(("at", "id", "name", "says"), rows, fold=("says",))
            else:
                note(f"{target.uri} has no capabilities")
    if survey.damage:
        raise ProtocolError("; ".join(survey.damage))
