"""``pymmio nvme smart``: how a controller is, and what it has been through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from pymmio.cli.nvme.common import open_controller
from pymmio.cli.options import DeviceCommand, Target
from pymmio.cli.sizes import minutes_text, size_text

if TYPE_CHECKING:
    from pymmio_drivers.nvme import CriticalWarning, SmartLog

__all__ = ["facts_of", "smart", "smart_dict"]


@click.command(
    cls=DeviceCommand,
    short_help="Health: temperature, wear, errors.",
    epilog="""\b
Examples:
  pymmio nvme smart sim:nvme
  pymmio nvme smart vfio:0000:01:00.0 --json | jq .temperature_c
""",
)
@click.option(
    "-n",
    "--namespace",
    "nsid",
    type=click.IntRange(min=1),
    metavar="ID",
    help="Only of this namespace, where the controller keeps count by namespace.",
)
def smart(target: Target, nsid: int | None, as_json: bool) -> None:
    """Show the SMART / health log of the NVMe controller URI.

    With --json it is the whole structure by the names of the specification, and the values in
    units for people: temperature_c, sensors_c, bytes_read, bytes_written, warnings.
    """
    from pymmio.cli.output import print_json, show_facts
    from pymmio_drivers.nvme.command import NSID_ALL

    with open_controller(target) as controller:
        log = controller.admin.smart_log(NSID_ALL if nsid is None else nsid)
        limits = controller.identity.wctemp, controller.identity.cctemp
    if as_json:
        print_json({"uri": target.uri, **smart_dict(log)})
    else:
        show_facts(facts_of(log, *map(int, limits)), title=f"health of {target.uri}")


def smart_dict(log: SmartLog) -> dict[str, object]:
    """Return the log with its values in units, ready for JSON."""
    return {
        **log.dump().as_dict(),
        "warnings": _names(log.warnings),
        "temperature_c": log.temperature_c,
        "sensors_c": log.sensors_c,
        "bytes_read": log.bytes_read,
        "bytes_written": log.bytes_written,
    }


def facts_of(log: SmartLog, warning_k: int = 0, critical_k: int = 0) -> list[tuple[str, str]]:
    """Return names and values for people; temperatures that the controller names as limits too."""
    return list(_facts(log, warning_k, critical_k))


def _facts(log: SmartLog, warning_k: int, critical_k: int) -> Iterator[tuple[str, str]]:
    from pymmio_drivers.nvme import celsius

    yield "critical warning", ", ".join(_names(log.warnings)) or "none"
    limits = [
        f"{word} from {celsius(kelvin)} °C"
        for word, kelvin in (("warning", warning_k), ("critical", critical_k))
        if kelvin
    ]
    yield "temperature", f"{log.temperature_c} °C" + (f"  ({', '.join(limits)})" if limits else "")
    for number, degrees in log.sensors_c.items():
        yield f"temperature sensor {number}", f"{degrees} °C"
    yield "time above warning", minutes_text(int(log.warning_temperature_time))
    yield "time above critical", minutes_text(int(log.critical_temperature_time))
    threshold = int(log.available_spare_threshold)
    yield "spare capacity", f"{int(log.available_spare)} %  (too low below {threshold} %)"
    yield "life used", f"{int(log.percentage_used)} %"
    yield "read", f"{size_text(log.bytes_read)} in {int(log.host_read_commands):,} commands"
    yield "written", f"{size_text(log.bytes_written)} in {int(log.host_write_commands):,} commands"
    yield "busy", minutes_text(int(log.controller_busy_time))
    yield "powered on", minutes_text(60 * int(log.power_on_hours))
    yield "power cycles", f"{int(log.power_cycles):,}"
    yield "unsafe shutdowns", f"{int(log.unsafe_shutdowns):,}"
    yield "media errors", f"{int(log.media_errors):,}"
    yield "error log entries", f"{int(log.error_log_entries):,}"


def _names(warnings: CriticalWarning) -> list[str]:
    """Return the warnings in words; bits without a name by their number."""
    known = [(one.name or "").lower().replace("_", " ") for one in warnings]
    unknown = int(warnings) & ~sum(int(one) for one in type(warnings))
    return known + [f"bit {bit}" for bit in range(8) if unknown >> bit & 1]
