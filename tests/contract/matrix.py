"""The page of the contract: which backend keeps which promises, from real runs.

``python -m tests.contract.matrix [COLUMN ...]`` asks these columns again (default: all), keeps
the others as they were, and writes ``docs/contract-matrix.rst`` with its numbers beside it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pymmio.testing import served
from pymmio.testing.contract import Ability, Check, Group, Outcome, Subject, checks, examine
from tests.contract.backends import QEMU, QEMU_PC, SIM, VFIO_USER, Backend
from tests.contract.mortal import mortal
from tests.contract.records import RECORDS, VARIABLE, Record, read, tell

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "contract-matrix.rst"
NUMBERS = ROOT / "docs" / "contract-matrix.json"


@dataclass(frozen=True)
class Column:
    """A column: its heading, what its numbers are of, and how it is asked."""

    name: str
    title: str
    devices: str
    ask: Callable[[Path], list[Record]]


@dataclass(frozen=True)
class Seen:
    """What came out in one column: counts by group and outcome, exceptions, seconds."""

    counts: dict[str, dict[str, int]]
    exceptions: list[tuple[str, str, str]]  #: device, promise, reason
    seconds: float

    @classmethod
    def of(cls, records: list[Record], seconds: float) -> Seen:
        """Count; a promise that is broken does not get onto the page."""
        counts: dict[str, dict[str, int]] = {}
        exceptions: dict[tuple[str, str, str], None] = {}
        for one in records:
            if one.outcome == Outcome.BROKEN:
                raise AssertionError(f"{one.column}, {one.device}: {one.check} is broken")
            if one.outcome == Outcome.NOT_ASKED:
                continue
            row = counts.setdefault(one.group, {})
            row[one.outcome] = row.get(one.outcome, 0) + 1
            if one.reason:
                exceptions[one.device, one.check, one.reason] = None
        return cls(counts, list(exceptions), seconds)


def _host(backend: Backend, uris: dict[str, str]) -> Iterator[Record]:
    """Ask on this machine."""
    for device, uri in uris.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / RECORDS
            other = uri if backend.has_other else None
            subject = backend.subject(device, uri, other)
            wanted = backend.checks(device)
            if backend is VFIO_USER:
                wanted = [one for one in wanted if Ability.REMOVAL not in one.needs]
                yield from _removed(device, path)
            yield from _asked(backend.name, subject, wanted, path)


def _removed(device: str, path: Path) -> list[Record]:
    """Ask what removal is of a device whose server is killed."""
    with mortal(device, path.parent / "device.sock") as server:
        subject = VFIO_USER.subject(device, server.uri)
        subject = replace(subject, opener=server.open, remove=server.kill)
        wanted = [one for one in VFIO_USER.checks(device) if Ability.REMOVAL in one.needs]
        return _asked(VFIO_USER.name, subject, wanted, path.with_name("removed.jsonl"))


def _asked(column: str, subject: Subject, wanted: list[Check], path: Path) -> list[Record]:
    os.environ[VARIABLE] = str(path)
    try:
        examine(subject, wanted, tell=lambda verdict: tell(column, subject.device, verdict))
    finally:
        del os.environ[VARIABLE]
    return read(path)


def _sim(folder: Path) -> list[Record]:
    uris = {"edu": "sim:edu", "nvme": "sim:nvme?size=16M", "access-recorder": "sim:access-recorder"}
    return list(_host(SIM, uris))


def _vfio_user(folder: Path) -> list[Record]:
    with served("edu") as edu, served("nvme", size="16M") as nvme:
        with served("access-recorder") as recorder:
            uris = {"edu": edu, "nvme": nvme, "access-recorder": recorder}
            return list(_host(VFIO_USER, uris))


def _qemu(folder: Path) -> list[Record]:
    disk = f"drive={folder}/disk.img&size=16M"
    uris = {
        "edu": "qemu:edu",
        "nvme": f"qemu:nvme,serial=x?{disk}",
        "nvme-cmb": f"qemu:nvme,serial=x,cmb_size_mb=2?{disk}",
    }
    return list(_host(QEMU, uris))


def _qemu_pc(folder: Path) -> list[Record]:
    return list(_host(QEMU_PC, {"edu": "qemu:edu?machine=pc"}))


def _guest(column: str, guest: str, *wanted: str) -> Callable[[Path], list[Record]]:
    """Ask in a guest; ``wanted`` are ``module:case`` with parameters that begin with the rest."""

    def ask(folder: Path) -> list[Record]:
        from tests.guest.case import call_of, options_of
        from tests.guest.guest import run
        from tests.guest.guests import GUESTS

        calls = []
        for one in wanted:
            module, name, start = one.split(":")
            function = getattr(importlib.import_module(f"tests.{module}"), name)
            params = options_of(function).params or (None,)
            calls += [call_of(function, p) for p in params if (p or "").startswith(start)]
        outcome = run(GUESTS[guest], calls, folder / f"{column}-{guest}")
        for result in outcome.results.values():
            if result.outcome != "passed":
                print(result.id, result.detail, sep="\n", file=sys.stderr)
        found = read(outcome.share / RECORDS)
        return [record for record in found if record.column.startswith(column)]

    return ask


def _vfio(interface: str) -> Callable[[Path], list[Record]]:
    module = "guest.cases.case_contract"
    default = _guest(
        f"vfio-{interface}",
        "default",
        f"{module}:case_edu:{interface}",
        f"{module}:case_nvme:{interface}",
    )
    memory = _guest(f"vfio-{interface}", "rules", f"{module}:case_memory_of_a_device:{interface}")
    shared = _guest(f"vfio-{interface}", "shared", f"{module}:case_sharing:{interface}")
    return lambda folder: [*default(folder), *memory(folder), *shared(folder)]


COLUMNS = (
    Column("sim", SIM.title, "edu, NVMe, recorder", _sim),
    Column("vfio-user", VFIO_USER.title, "edu, NVMe, recorder", _vfio_user),
    Column("qemu", QEMU.title, "edu, NVMe, NVMe with memory", _qemu),
    Column("qemu-pc", QEMU_PC.title, "edu", _qemu_pc),
    Column("vfio-group", "``vfio:`` by group", "edu, NVMe, its memory", _vfio("group")),
    Column("vfio-cdev", "``vfio:`` by cdev", "edu, NVMe, its memory", _vfio("cdev")),
    Column(
        "vfio-noiommu",
        "``vfio:``, no IOMMU",
        "edu",
        _guest("vfio-noiommu", "no-iommu", "guest.cases.case_vfio_noiommu:case_contract:"),
    ),
    Column(
        "sysfs",
        "``sysfs:``",
        "edu, NVMe",
        _guest(
            "sysfs",
            "sysfs",
            "guest.cases.case_sysfs:case_contract_of_edu:",
            "guest.cases.case_sysfs:case_contract_of_nvme:",
        ),
    ),
    Column(
        "s390x-auto",
        "``vfio:`` on s390x",
        "NVMe with memory",
        _guest("s390x-auto", "s390x", "s390x.cases.case_contract:case_the_contract:"),
    ),
)

_HEAD = """\
What each backend keeps
=======================

A backend is four Protocols, and what they promise is asked by one suite
(:doc:`howto/contract-suite`), of {checks} promises. The numbers are promises that were kept,
counted for each kind of device; those that a backend does not make are behind a plus and stand
below with their reasons. An exception that turned out to hold would be an error. Nothing else was
broken: a run with a broken promise does not get onto this page.

Written by ``python -m tests.contract.matrix`` from runs on one machine; the same checks run in the
tests (:doc:`how-it-is-proven`).

"""


def render(seen: dict[str, Seen]) -> str:
    """Return the page."""
    columns = [column for column in COLUMNS if column.name in seen]
    rows = [["promises about", *(column.title for column in columns)]]
    rows.append(["", *(column.devices for column in columns)])
    for group in Group:
        cells = [_cell(seen[column.name].counts.get(group.value, {})) for column in columns]
        rows.append([group.value, *cells])
    totals: list[str] = []
    for column in columns:
        total: dict[str, int] = {}
        for counts in seen[column.name].counts.values():
            for outcome, number in counts.items():
                total[outcome] = total.get(outcome, 0) + number
        totals.append(_cell(total))
    rows.append(["all", *totals])
    widths = " ".join(["14", *["11"] * len(columns)])
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :stub-columns: 1",
        f"   :widths: {widths}",
        "",
    ]
    for row in rows:
        for number, cell in enumerate(row):
            lines.append(f"   {'*' if number == 0 else ' '} - {cell}".rstrip())
    lines += ["", "What is not promised", "--------------------", ""]
    for column in columns:
        reasons: dict[str, list[str]] = {}
        for device, promise, reason in seen[column.name].exceptions:
            reasons.setdefault(f"{reason} ({device})", []).append(promise.replace("_", " "))
        for reason, promises in reasons.items():
            shown = "; ".join(promises[:3])
            more = f" and {len(promises) - 3} more" if len(promises) > 3 else ""
            lines.append(f"- {column.title}: {reason}: *{shown}*{more}")
    return _HEAD.format(checks=len(checks())) + "\n".join(lines) + "\n"


def _cell(counts: dict[str, int]) -> str:
    kept = counts.get(Outcome.KEPT, 0)
    excepted = counts.get(Outcome.EXCEPTED, 0) + counts.get(Outcome.HOLDS, 0)
    if not kept and not excepted:
        return "."
    return f"{kept} + {excepted}" if excepted else f"{kept}"


def load() -> dict[str, Seen]:
    """Return the numbers of earlier runs."""
    if not NUMBERS.exists():
        return {}
    found = json.loads(NUMBERS.read_text(encoding="utf-8"))
    return {
        name: Seen(one["counts"], [tuple(e) for e in one["exceptions"]], one["seconds"])
        for name, one in found.items()
    }


def main(names: list[str]) -> int:
    """Ask, and write the page."""
    known = {column.name: column for column in COLUMNS}
    if unknown := set(names) - set(known):
        print(f"columns are {', '.join(known)}, not {', '.join(unknown)}", file=sys.stderr)
        return 2
    for name in names or known:
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            found = known[name].ask(Path(folder))
            seen = load() | {name: Seen.of(found, time.monotonic() - start)}
        counts = seen[name].counts
        total = sum(sum(outcomes.values()) for outcomes in counts.values())
        print(f"{name}: {total} promises in {seen[name].seconds:.0f} s", flush=True)
        NUMBERS.write_text(json.dumps({n: asdict(s) for n, s in seen.items()}, indent=1) + "\n")
        PAGE.write_text(render(seen), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
