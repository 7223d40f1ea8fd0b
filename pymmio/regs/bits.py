"""Positions of bits inside an integer, and enumerations over their values."""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pymmio.errors import DeclarationError, RegisterError

__all__ = ["BitRange", "check_enum", "check_overlap", "enum_reader", "to_unsigned"]

T = TypeVar("T", bound=int)


@dataclass(frozen=True, slots=True)
class BitRange:
    """Bits ``low`` to ``high``, both inclusive, bit 0 being the least significant."""

    low: int
    high: int

    @classmethod
    def of(cls, bit: int | None, bits: tuple[int, int] | None) -> BitRange:
        """Return the range that ``bit=3`` or ``bits=(0, 15)`` names."""
        if (bit is None) == (bits is None):
            raise DeclarationError(
                f"a field was declared with bit={bit!r} and bits={bits!r}",
                hint="Give exactly one: bit=3 or bits=(low, high)",
            )
        low, high = (bit, bit) if bit is not None else bits or (0, 0)
        if not 0 <= low <= high:
            raise DeclarationError(
                f"a field was declared with bits=({low}, {high})",
                hint="Write bits=(low, high), both inclusive, counted from 0",
            )
        return cls(low, high)

    @property
    def width(self) -> int:
        """Number of bits."""
        return self.high - self.low + 1

    @property
    def limit(self) -> int:
        """Largest value that fits."""
        return (1 << self.width) - 1

    @property
    def mask(self) -> int:
        """The bits set, at their place."""
        return self.limit << self.low

    def __str__(self) -> str:
        return f"bit {self.low}" if self.low == self.high else f"bits {self.high}:{self.low}"


def to_unsigned(where: str, value: object, bits: int, place: str = "") -> int:
    """Return ``value`` as an int that fits ``bits`` bits, else raise RegisterError.

    ``where`` names the field and ``place`` its bits, for the message.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise RegisterError(
            f"{where} was given {value!r} ({type(value).__name__})", hint="Give an integer"
        ) from error
    if not 0 <= number < 1 << bits:
        size = "1 bit" if bits == 1 else f"{bits} bits"
        at = f" ({place})" if place else ""
        raise RegisterError(
            f"{where} has {size}{at}, the value {number} (0x{number:x}) does not fit",
            hint=f"Give 0 to {(1 << bits) - 1}",
        )
    return number


def check_overlap(owner: str, ranges: Iterable[tuple[str, int, int]], unit: str) -> None:
    """Raise DeclarationError if two of the (name, first, last) ranges have something in common."""
    before: tuple[str, int, int] | None = None
    for item in sorted(ranges, key=lambda entry: (entry[1], entry[2])):
        if before is not None and item[1] <= before[2]:
            raise DeclarationError(
                f"{owner}: {item[0]!r} ({unit} {item[1]} to {item[2]}) overlaps "
                f"{before[0]!r} ({unit} {before[1]} to {before[2]})",
                hint="Compare both with the specification",
            )
        before = item


def check_enum(where: str, kind: type[int], bits: int) -> None:
    """Raise DeclarationError unless ``kind`` is an IntEnum or IntFlag that fits ``bits`` bits."""
    if not (isinstance(kind, type) and issubclass(kind, (enum.IntEnum, enum.IntFlag))):
        raise DeclarationError(
            f"{where}: enum={kind!r}", hint="Give a subclass of enum.IntEnum or enum.IntFlag"
        )
    for name, member in kind.__members__.items():
        if not 0 <= member.value < 1 << bits:
            raise DeclarationError(
                f"{where} has {bits} bits, {kind.__name__}.{name} = {member.value} does not fit",
                hint="Correct the enumeration or the bits of the field",
            )


def enum_reader(kind: type[T]) -> Callable[[int], T]:
    """Return a function that makes a number a member of the enumeration ``kind``.

    A device may give a value that the enumeration does not know.  That is no reason to
    fail: the result then is a member of its own named ``unknown(0x..)``, which equals the
    number and none of the declared members.
    """
    assert issubclass(kind, enum.Enum)
    known: dict[int, T] = {int(member): member for member in kind.__members__.values()}

    def read(number: int) -> T:
        member = known.get(number)
        return member if member is not None else _unknown_member(kind, number)

    return read


def _unknown_member(kind: type[T], number: int) -> T:
    try:
        return kind(number)  # IntFlag combinations, and enumerations with _missing_
    except ValueError:
        member = int.__new__(kind, number)
        object.__setattr__(member, "_value_", number)
        object.__setattr__(member, "_name_", f"unknown(0x{number:x})")
        return member
