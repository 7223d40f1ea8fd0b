"""Reports of rule conformance as text and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pymmio.check.rules.runner import Case, Report, Verdict
from pymmio.check.rules.table import CELL_SIZE, WIDTHS

__all__ = ["Matrix", "as_dict", "matrices", "pieces", "text"]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The cases of one cell by (width, offset in the cell), with a title."""

    title: str
    cases: Mapping[tuple[int, int], Case]

    @property
    def is_kept(self) -> bool:
        """Whether the rule is kept in all of them."""
        return all(case.verdict is Verdict.KEPT for case in self.cases.values())


def matrices(report: Report) -> Iterator[Matrix]:
    """Yield a matrix for each cell and direction, one for both where they look the same."""
    for cell in report.preset.cells:
        reads, writes = (
            {
                (case.width, case.place): case
                for case in report.cases
                if case.cell is cell and case.is_write is is_write
            }
            for is_write in (False, True)
        )
        where = f"at {cell.base:#x}: {cell.title}"
        if {at: _shown(case) for at, case in reads.items()} == {
            at: _shown(case) for at, case in writes.items()
        }:
            yield Matrix(f"Reads and writes {where}", reads)
        else:
            yield Matrix(f"Reads {where}", reads)
            yield Matrix(f"Writes {where}", writes)


def pieces(case: Case) -> str:
    """Return what the device saw, in the notation of the tables (``-`` for nothing)."""
    if not case.seen:
        return "-"
    widths = "".join(str(access.width) for access in case.seen)
    if len(widths) > 4 and len(set(widths)) == 1:
        widths = f"{widths[0]}*{len(widths)}"
    offsets = [access.offset for access in case.seen]
    is_reversed = len(offsets) > 1 and offsets == sorted(offsets, reverse=True)
    return widths + ("r" if is_reversed else "")


def as_dict(report: Report) -> dict[str, object]:
    """Return a report as values that JSON has."""
    preset = report.preset
    return {
        "rule": preset.name,
        "title": preset.title,
        "subject": report.subject,
        "verdict": report.verdict.value,
        "asked": len(report.cases),
        "broken": len(report.broken),
        "widths": list(report.widths),
        "widths_not_asked": [w for w in WIDTHS if w not in report.widths],
        "sources": [{"where": source.where, "says": source.says} for source in preset.sources],
        "cases": [
            {
                "direction": case.direction,
                "offset": case.offset,
                "width": case.width,
                "expected": case.expected.text,
                "seen": [
                    {
                        "offset": access.offset,
                        "width": access.width,
                        "direction": "write" if access.is_write else "read",
                        "value": access.value,
                    }
                    for access in case.seen
                ],
                "error": case.error or None,
                "verdict": case.verdict.value,
                "why": case.why or None,
            }
            for case in report.cases
        ],
    }


def text(report: Report, *, most: int = 12, with_matrices: bool = True) -> str:
    """Return a report for people: a line, a matrix for each cell, and the first faults."""
    return "\n".join(_lines(report, most, with_matrices))


def _lines(report: Report, most: int, with_matrices: bool) -> Iterator[str]:
    broken = report.broken
    yield (
        f"{report.preset.name}: {report.verdict.value} by {report.subject}, "
        f"{len(broken)} of {len(report.cases)} accesses broken"
    )
    for matrix in matrices(report) if with_matrices else ():
        yield f"  {matrix.title}"
        rows = [["width", *(f"+{offset}" for offset in range(CELL_SIZE))]]
        for width in report.widths:
            cells = (_shown(matrix.cases[width, offset]) for offset in range(CELL_SIZE))
            rows.append([str(width), *cells])
        sizes = [max(len(row[i]) for row in rows) for i in range(CELL_SIZE + 1)]
        for row in rows:
            yield "    " + " ".join(c.ljust(s) for c, s in zip(row, sizes)).rstrip()
    for case in broken[:most]:
        yield f"  {case}"
    if most and len(broken) > most:
        yield f"  and {len(broken) - most} more; --json and --html have all of them"


def _shown(case: Case) -> str:
    return pieces(case) + ("!" if case.verdict is Verdict.BROKEN else "")
