"""The log pages that ``pymmio nvme log`` decodes: each prints a table, or JSON."""

from __future__ import annotations

from collections.abc import Callable

from pymmio.cli.nvme.log import PAGES
from pymmio.cli.nvme.smart import facts_of, smart_dict
from pymmio.cli.output import note, print_json, show_facts, show_table
from pymmio_drivers.nvme import (
    Controller,
    ErrorLogEntry,
    LogId,
    command_effects,
    supported_logs,
)
from pymmio_drivers.nvme.command import NSID_ALL
from pymmio_drivers.nvme.status import describe

__all__ = ["SHOW"]

_NO_LOCATION = 0xFFFF
_SLOTS = range(1, 8)


def _supported(controller: Controller, uri: str, nsid: int | None, as_json: bool) -> None:
    names = {number: name for name, number in PAGES.items()}
    found = supported_logs(controller.admin)
    if as_json:
        print_json({"uri": uri, "pages": found})
        return
    rows = [(f"{lid:02x}", _page_name(lid), names.get(lid, "")) for lid in found]
    show_table(("id", "log page", "decoded as"), rows)


def _page_name(lid: int) -> str:
    try:
        return LogId(lid).name.lower().replace("_", " ")
    except ValueError:
        return "vendor specific" if lid >= 0xC0 else ""


def _errors(controller: Controller, uri: str, nsid: int | None, as_json: bool) -> None:
    found = controller.admin.error_log(int(controller.identity.elpe) + 1)
    if as_json:
        entries = [
            {**one.dump().as_dict(), "status_name": describe(int(one.status))[0]} for one in found
        ]
        print_json({"uri": uri, "errors": entries})
    elif not found:
        note(f"{uri} has no error in its log")
    else:
        numbers = ("count", "queue", "command", "nsid")
        show_table(
            (*numbers, "status", "at byte", "lba"),
            [_error_row(one) for one in found],
            right=(*numbers, "at byte", "lba"),
            fold=("status",),
        )


def _error_row(one: ErrorLogEntry) -> tuple[str, ...]:
    location = int(one.parameter_error_location)
    byte, bit = location & 0xFF, location >> 8 & 7
    place = "" if location in (0, _NO_LOCATION) else f"{byte}, bit {bit}" if bit else f"{byte}"
    return (
        f"{int(one.error_count):,}",
        f"{int(one.sqid)}",
        f"{int(one.cid):#x}",
        f"{int(one.nsid)}" if one.nsid not in (0, NSID_ALL) else "",
        describe(int(one.status))[0],
        place,
        f"{int(one.lba)}" if one.sqid else "",
    )


def _smart(controller: Controller, uri: str, nsid: int | None, as_json: bool) -> None:
    log = controller.admin.smart_log(NSID_ALL if nsid is None else nsid)
    if as_json:
        print_json({"uri": uri, **smart_dict(log)})
    else:
        limits = int(controller.identity.wctemp), int(controller.identity.cctemp)
        show_facts(facts_of(log, *limits), title=f"health of {uri}")


def _firmware(controller: Controller, uri: str, nsid: int | None, as_json: bool) -> None:
    log = controller.admin.firmware_log()
    if as_json:
        print_json({"uri": uri, **log.dump().as_dict()})
        return
    states = {int(log.next_slot): "after the next reset", int(log.active_slot): "running"}
    revisions = [(slot, str(getattr(log, f"slot{slot}")).strip()) for slot in _SLOTS]
    rows = [(str(slot), text, states.get(slot, "")) for slot, text in revisions if text]
    show_table(("slot", "revision", "state"), rows, right=("slot",))


def _changed(controller: Controller, uri: str, nsid: int | None, as_json: bool) -> None:
    found = controller.admin.changed_namespaces()
    if as_json:
        print_json({"uri": uri, "changed": found})
    elif found is None:
        note("more than 1024 namespaces have changed")
    elif not found:
        note(f"no namespace of {uri} has changed since this page was last read")
    else:
        show_table(
            ("changed namespace",), [(str(one),) for one in found], right=("changed namespace",)
        )


def _commands(controller: Controller, uri: str, nsid: int | None, as_json: bool) -> None:
    found = command_effects(controller.admin)
    if as_json:
        print_json({"uri": uri, "commands": found})
        return
    rows = [
        ("I/O" if one.is_io else "admin", f"{one.opcode:02x}", one.name, ", ".join(one.changes))
        for one in found
    ]
    show_table(("queue", "opcode", "command", "changes"), rows, fold=("changes",))


SHOW: dict[int, Callable[[Controller, str, int | None, bool], None]] = {
    PAGES["supported"]: _supported,
    PAGES["error"]: _errors,
    PAGES["smart"]: _smart,
    PAGES["firmware"]: _firmware,
    PAGES["changed"]: _changed,
    PAGES["commands"]: _commands,
}
