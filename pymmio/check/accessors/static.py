"""The static proof: what stands in a shared object's exception table, or in one function."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pymmio.check.accessors.disassembly import MACHINES, Access
from pymmio.check.accessors.function import judge_function
from pymmio.check.accessors.shared_object import Record, SharedObject, core_of_wheel
from pymmio.check.accessors.verdict import Direction, Judgement, Verdict
from pymmio.errors import BadArgument

__all__ = ["judge_record", "judge_symbol", "judge_table", "open_object"]

WIDTHS = (1, 2, 4, 8)


def open_object(path: Path) -> SharedObject:
    """Read a shared object, or the core inside a wheel of pymmio.

    Raises BadArgument for other files and for machines that are not known, ToolMissing without
    pyelftools.
    """
    try:
        found = core_of_wheel(path) if path.suffix == ".whl" else SharedObject(path)
    except FileNotFoundError as error:
        raise BadArgument(f"there is no file {path}", hint="Name a shared object") from error
    if found.machine not in MACHINES:
        raise BadArgument(f"{path.name} is for {found.machine}, which is not known here")
    return found


def judge_table(shared: SharedObject) -> dict[tuple[int, Direction], Judgement]:
    """Judge every record, by width and direction.

    The verdict is exact only if each record of that width is one access of it.  A width without
    a record is unproven: its code is somewhere that the table does not know.  The block store of
    s390x is told under its own width.
    """
    records: dict[tuple[int, Direction], list[Record]] = {
        (width, direction): [] for width in WIDTHS for direction in ("read", "write")
    }
    for record in shared.records():
        direction: Direction = "write" if record.claimed.is_store else "read"
        records.setdefault((record.claimed.width, direction), []).append(record)
    return {key: _judge_records(shared, found) for key, found in records.items()}


def _judge_records(shared: SharedObject, records: Iterable[Record]) -> Judgement:
    count = 0
    shown: set[str] = set()
    for record in records:
        judgement = judge_record(shared, record)
        if judgement.verdict is not Verdict.EXACT:
            return judgement
        shown.add(judgement.detail)
        count += 1
    if not count:
        return Judgement(Verdict.UNPROVEN, "the exception table has no record of it")
    kinds = "instruction" if count == 1 else "instructions"
    return Judgement(Verdict.EXACT, f"{count} {kinds}: {min(shown)}")


def judge_record(shared: SharedObject, record: Record) -> Judgement:
    """Judge one record: the instruction there is one access of the width that it claims."""
    try:
        found = shared.instruction(record.instruction)
    except ValueError as error:
        return Judgement(Verdict.UNPROVEN, str(error))
    if found.access == record.claimed:
        return Judgement(Verdict.EXACT, found.text)
    where = f"{found.text} at {record.instruction:#x}, recorded as {_say(record.claimed)}"
    if found.access is None:
        return Judgement(Verdict.UNPROVEN, where)
    return Judgement(Verdict.SPLIT, where)


def _say(access: Access) -> str:
    return f"{'store' if access.is_store else 'load'} of {access.width}"


def judge_symbol(shared: SharedObject, symbol: str, width: int, direction: Direction) -> Judgement:
    """Judge a function whose first argument is the pointer; raise BadArgument if there is none."""
    return judge_function(shared.machine, shared.function(symbol), width, direction)
