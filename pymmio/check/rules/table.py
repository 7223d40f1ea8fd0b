"""Rules as literal tables: for each width and offset, the accesses that a device gets.

A table has a line for each width and a column for each offset in a cell of 16 bytes::

    w\\o 0 1   2   3 4
      4 4 121 22r - ~
      8 8 1*8 8|- - ~

``121`` are three accesses of 1, 2 and 1 byte, low address first; ``1*8`` are eight of 1 byte;
``22r`` are the pieces of ``22``, high address first;
``-`` says that the access is refused and the device gets nothing; ``~`` that the source says
nothing about the accesses but that they are those bytes, all of them; ``|`` stands between what
is equally right.  A width without a line is not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pymmio.errors import DeclarationError

__all__ = [
    "CELL_SIZE",
    "NOT_EXACT",
    "REFUSED",
    "WIDTHS",
    "Cell",
    "Expectation",
    "Preset",
    "Source",
    "Stream",
    "Table",
    "everywhere",
]

CELL_SIZE = 16
WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8)
PAGE = 0x1000
REFUSED, NOT_EXACT = "-", "~"

Stream = tuple[tuple[int, int], ...]
"""(offset, width) of each access, in their order."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What becomes of one access: ``text`` in the notation above.

    ``streams`` are the exact streams that are right, with offsets from the start of the access.
    """

    text: str
    width: int
    streams: tuple[Stream, ...]

    @property
    def may_refuse(self) -> bool:
        """Whether it is right to refuse the access."""
        return REFUSED in self.text.split("|")

    @property
    def is_open(self) -> bool:
        """Whether any accesses are right that make up these bytes."""
        return self.text == NOT_EXACT

    @classmethod
    def parse(cls, text: str, width: int) -> Expectation:
        """Read the notation.  Raises DeclarationError where pieces are not ``width`` bytes."""
        words = [word for word in text.split("|") if word not in (REFUSED, NOT_EXACT)]
        if NOT_EXACT in text and text != NOT_EXACT:
            raise DeclarationError(f"{text!r}: ~ stands alone")
        return cls(text, width, tuple(_stream(word, width) for word in words))


def _stream(word: str, width: int) -> Stream:
    stream, at = [], 0
    digits = word.removesuffix("r")
    if digits[1:2] == "*" and digits[2:].isdecimal():
        digits = digits[0] * int(digits[2:])
    if not digits.isdecimal():
        raise DeclarationError(f"{word!r} is no list of widths such as 421 or 1*8")
    pieces = [int(digit) for digit in digits]
    for piece in pieces:
        stream.append((at, piece))
        at += piece
    if at != width or not {1, 2, 4, 8}.issuperset(pieces):
        raise DeclarationError(f"{word!r} is not {width} bytes in pieces of 1, 2, 4, 8")
    return tuple(reversed(stream) if word.endswith("r") else stream)


class Table:
    """The expectations of one direction in one cell, by (width, offset in the cell)."""

    def __init__(self, text: str) -> None:
        head, *lines = (line.split() for line in text.strip().splitlines())
        if head[1:] != [str(offset) for offset in range(CELL_SIZE)]:
            raise DeclarationError("the first line of a table names the offsets 0 to 15")
        found = {}
        for width, *words in lines:
            if len(words) != CELL_SIZE or int(width) not in WIDTHS:
                raise DeclarationError(f"the line {width!r} of a table has {len(words)} columns")
            for offset, word in enumerate(words):
                found[int(width), offset] = Expectation.parse(word, int(width))
        self.expectations = MappingProxyType(found)

    @property
    def widths(self) -> tuple[int, ...]:
        """The widths that the table has lines for."""
        return tuple(sorted({width for width, _ in self.expectations}))


@dataclass(frozen=True, slots=True)
class Cell:
    """16 bytes at ``base``: what an access gets that starts in them."""

    base: int
    reads: Table
    writes: Table
    title: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule stands: file, commit or edition, section; ``says`` is what it says there."""

    where: str
    says: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A rule with its sources.  ``must_fail`` names the subject that is known to break it."""

    name: str
    title: str
    sources: Sequence[Source]
    cells: Sequence[Cell]
    must_fail: str
    notes: str = ""


def everywhere(table: Table) -> tuple[Cell, ...]:
    """Return cells for a rule that is the same at all offsets, and at both sides of a page edge.

    Accesses that start in the middle cell may cross into the page behind it.
    """
    return (
        Cell(0x0, table, table, "any cell"),
        Cell(PAGE - CELL_SIZE, table, table, "last cell of a page"),
        Cell(PAGE, table, table, "first cell of the next page"),
    )
