"""Drive a subject through all widths and offsets of a rule and compare what the device got."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from pymmio.check.rules.recorder import Recorder, Seen
from pymmio.check.rules.table import CELL_SIZE, WIDTHS, Cell, Expectation, Preset
from pymmio.errors import PymmioError

__all__ = ["Case", "Report", "Subject", "Verdict", "run"]

Subject = Callable[[bool, int, int, int], int | None]
"""``subject(is_write, offset, width, value)``: make the access, return the number that was read
(None where that is not known), or raise to refuse.  Numbers are little-endian."""

REFUSALS = (PymmioError, OSError, ValueError, IndexError, BufferError)


class Verdict(Enum):
    """What became of one access."""

    KEPT = "kept"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Case:
    """One access that was asked for: what the rule expects, what the device saw, the verdict."""

    cell: Cell
    offset: int  #: in the region
    width: int
    is_write: bool
    expected: Expectation
    seen: tuple[Seen, ...]
    error: str  #: the exception that the subject raised, "" if none
    why: str  #: what is wrong, "" if nothing is

    @property
    def verdict(self) -> Verdict:
        """Whether the rule is kept."""
        return Verdict.BROKEN if self.why else Verdict.KEPT

    @property
    def place(self) -> int:
        """The offset in the cell."""
        return self.offset % CELL_SIZE

    @property
    def direction(self) -> str:
        """``read`` or ``write``."""
        return "write" if self.is_write else "read"

    def __str__(self) -> str:
        return (
            f"{self.direction} of {self.width} at {self.offset:#x}: {self.why or 'as it must be'}"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All cases of one subject and one rule."""

    preset: Preset
    subject: str
    widths: tuple[int, ...]
    cases: tuple[Case, ...]

    @property
    def broken(self) -> list[Case]:
        """The cases in which the rule was not kept."""
        return [case for case in self.cases if case.verdict is Verdict.BROKEN]

    @property
    def verdict(self) -> Verdict:
        """Whether the rule was kept in all cases; no cases are no proof."""
        return Verdict.BROKEN if self.broken or not self.cases else Verdict.KEPT


def run(
    subject: Subject,
    preset: Preset,
    recorder: Recorder,
    *,
    name: str = "subject",
    widths: Collection[int] = WIDTHS,
    base: int = 0,
) -> Report:
    """Ask ``subject`` for each access of ``preset`` and compare what ``recorder`` saw of it.

    ``widths`` are those that the subject can be asked for; ``base``, a multiple of 16, is added to
    all offsets.
    What the device holds is changed.  PymmioError, OSError, ValueError, IndexError and BufferError
    of the subject count as a refusal, other exceptions go through.
    """
    cases = []
    recorder.take()
    for cell, offset, is_write, expected in _questions(preset, widths):
        at = base + cell.base + offset
        wanted = _pattern(at, expected.width)
        error, value = "", None
        try:
            value = subject(is_write, at, expected.width, wanted)
        except REFUSALS as refusal:
            error = f"{type(refusal).__name__}: {refusal}"
        seen = tuple(recorder.take())
        why = _fault(at, is_write, expected, seen, error, wanted if is_write else value)
        cases.append(Case(cell, at, expected.width, is_write, expected, seen, error, why))
    asked = tuple(sorted({case.width for case in cases}))
    return Report(preset, name, asked, tuple(cases))


def _questions(
    preset: Preset, widths: Collection[int]
) -> Iterator[tuple[Cell, int, bool, Expectation]]:
    for cell in preset.cells:
        for is_write, table in ((False, cell.reads), (True, cell.writes)):
            for (width, offset), expected in table.expectations.items():
                if width in widths and offset < CELL_SIZE:
                    yield cell, offset, is_write, expected


def _pattern(offset: int, width: int) -> int:
    """Return a value whose bytes differ from each other and from those of other offsets."""
    return int.from_bytes(bytes((offset * 7 + i * 29 + 161) % 256 for i in range(width)), "little")


def _fault(
    at: int,
    is_write: bool,
    expected: Expectation,
    seen: Sequence[Seen],
    error: str,
    value: int | None,
) -> str:
    """Say what is wrong, "" if nothing is."""
    if error and seen:
        return f"raised after {_listed(seen)}"
    if error:
        return "" if expected.may_refuse else f"refused, wanted {expected.text} ({error})"
    if not seen:
        return f"no exception and no access, wanted {expected.text}"
    if any(access.is_write is not is_write for access in seen):
        return f"also went the other way: {_listed(seen)}"
    stream = tuple((access.offset - at, access.width) for access in seen)
    bytes_seen = [offset + i for offset, width in stream for i in range(width)]
    if expected.is_open:
        if set(bytes_seen) != set(range(expected.width)):
            return f"not the bytes that were asked for: {_listed(seen)}"
    elif stream not in expected.streams:
        return f"wanted {expected.text}, saw {_listed(seen)}"
    if value is not None and len(bytes_seen) == expected.width and value != _joined(at, seen):
        return f"the device saw {_joined(at, seen):#x}, the subject has {value:#x}"
    return ""


def _joined(at: int, seen: Sequence[Seen]) -> int:
    """Put the values of accesses together to the number that starts at ``at``."""
    return sum(access.value << 8 * (access.offset - at) for access in seen)


def _listed(seen: Sequence[Seen]) -> str:
    return ", ".join(str(access) for access in seen)
