"""``pymmio caps``: the capabilities of a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from pymmio.cli.options import DeviceCommand, Target

if TYPE_CHECKING:
    from pymmio.pci.view import CapabilityView

__all__ = ["caps", "words"]


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
    """List the capabilities and extended capabilities of the device URI, decoded.

    What a capability does not have is left out; --json has everything. What is damaged is told
    beside what can be read; then the exit code is 1.
    """
    from pymmio.cli.output import is_terminal, note, print_json, show_table
    from pymmio.errors import ProtocolError

    with target.open() as device:
        device.config.check_present()
        survey = device.config.survey_capabilities()
        if as_json:
            print_json({"uri": target.uri, **survey.as_dict()})
        else:
            between = "\n" if is_terminal() else "; "
            rows = [_row(one, 2, between) for one in survey.capabilities]
            rows += [_row(one, 3, between) for one in survey.extended]
            if rows:
                show_table(("at", "id", "name", "says"), rows, fold=("name", "says"), lines=True)
            else:
                note(f"{target.uri} has no capabilities")
    if survey.damage:
        raise ProtocolError("; ".join(survey.damage))


def _row(one: CapabilityView, digits: int, between: str) -> tuple[str, str, str, str]:
    """Return place, id, name and facts of a capability, or why they cannot be read."""
    values = one.as_dict()
    if "error" in values:
        said = f"not decoded: {values['error']}"
    else:
        identity = ("id", "name", "offset")
        said = between.join(words({k: v for k, v in values.items() if k not in identity}))
    return f"{one.offset:0{digits}x}", f"{one.id:0{2 * digits - 2}x}", one.name, said


def words(facts: Mapping[str, object]) -> Iterator[str]:
    """Give facts in words, those that are None left out: ``link status: 8 GT/s x4``."""
    for name, value in facts.items():
        if value is not None:
            yield f"{_name(name)}: {_value(name, value)}"


def _name(name: str) -> str:
    text = name.removeprefix("is_").replace("_", " ")
    return {"flr": "function-level reset", "aspm": "ASPM", "64bit": "64-bit"}.get(
        text, text.replace("aspm", "ASPM").replace("pme", "PME").replace("vfs", "VFs")
    )


_HEX = frozenset({"address", "data", "offset", "header_log", "vf_device_id"})
_BYTES = frozenset({"max_payload", "max_payload_supported", "max_read_request", "length"})


def _value(name: str, value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() if name in _HEX:
            return f"{value:#x}"
        case int() if name in _BYTES:
            return f"{value} bytes"
        case {"speed_gt_s": speed, "width": width}:
            return f"{'unknown speed' if speed is None else f'{speed:g} GT/s'} x{width}"
        case {"bar": bar, "offset": int(offset), "size": int(size)}:
            return f"{size} bytes at {offset:#x} of BAR{bar}"
        case Mapping():
            return ", ".join(words(value))
        case list():
            return ", ".join(_value(name, item) for item in value) or "none"
        case str() if value.isupper() and name in ("type", "state", "supported_states"):
            return value.lower().replace("_", " ") if name == "type" else value
    return str(value)
