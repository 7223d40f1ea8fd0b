"""Fields of a register: which bits, what a read and a write of them does."""

from __future__ import annotations

import copy
import enum as enum_module
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Self, TypeVar, overload

from pymmio.errors import DeclarationError
from pymmio.regs.bits import BitRange, check_enum, enum_reader, to_unsigned

if TYPE_CHECKING:
    from pymmio.regs.register import Register

__all__ = ["RESERVED", "RO", "RW", "W1C", "W1S", "WO", "AccessKind", "Field"]

T = TypeVar("T", bound=int)


class AccessKind(enum_module.StrEnum):
    """What software may do with bits."""

    RO = "RO"  #: read; a write is ignored by the device
    RW = "RW"  #: read and write; a read gives what was written
    WO = "WO"  #: write; what a read gives means nothing
    W1C = "W1C"  #: read; writing 1 clears the bit, writing 0 leaves it
    W1S = "W1S"  #: read; writing 1 sets the bit, writing 0 leaves it
    RESERVED = "RESERVED"  #: no meaning; preserved when other bits are written


RO = AccessKind.RO
RW = AccessKind.RW
WO = AccessKind.WO
W1C = AccessKind.W1C
W1S = AccessKind.W1S
RESERVED = AccessKind.RESERVED


class Field(Generic[T]):
    """Bits of a :class:`~pymmio.regs.register.Register`, declared in the body of its class.

    ``bit=3`` names one bit, ``bits=(0, 15)`` a range, both ends inclusive.  ``enum`` is an
    IntEnum or IntFlag; the field's value then is a member of it.  ``access`` is the
    register's where it is not given; ``reset`` is the value after a reset.

    On a value of the register the field reads as an int or a member of ``enum``; on the
    class it is this object, with ``name``, ``bits``, ``access``, ``reset`` and ``doc``.
    """

    __slots__ = (
        "_declared",
        "_limit",
        "_read",
        "_shift",
        "access",
        "bits",
        "doc",
        "enum",
        "name",
        "reset",
    )

    name: str
    bits: BitRange
    access: AccessKind | None
    reset: int | None
    enum: type[T] | None
    doc: str

    @overload
    def __init__(
        self: Field[int],
        *,
        bit: int | None = None,
        bits: tuple[int, int] | None = None,
        access: AccessKind | None = None,
        reset: int | None = None,
        doc: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self,
        *,
        bit: int | None = None,
        bits: tuple[int, int] | None = None,
        enum: type[T],
        access: AccessKind | None = None,
        reset: int | None = None,
        doc: str = "",
    ) -> None: ...
    def __init__(
        self,
        *,
        bit: int | None = None,
        bits: tuple[int, int] | None = None,
        enum: type[T] | None = None,
        access: AccessKind | None = None,
        reset: int | None = None,
        doc: str = "",
    ) -> None:
        self.name = ""
        self.bits = BitRange.of(bit, bits)
        self.access = self._declared = access
        self.reset = reset
        self.enum = enum
        self.doc = doc
        self._shift = self.bits.low
        self._limit = self.bits.limit
        self._read: Callable[[int], T] | None = None

    @overload
    def __get__(self, value: None, owner: type[Register] | None = None) -> Self: ...
    @overload
    def __get__(self, value: Register, owner: type[Register] | None = None) -> T: ...
    def __get__(
        self, value: Register | None, owner: type[Register] | None = None
    ) -> Self | T | int:
        if value is None:
            return self
        number = (value._raw >> self._shift) & self._limit
        return number if self._read is None else self._read(number)

    @property
    def mask(self) -> int:
        """The bits of the field set, at their place in the register."""
        return self.bits.mask

    @property
    def width(self) -> int:
        """Number of bits."""
        return self.bits.width

    def __repr__(self) -> str:
        return f"<Field {self.name or '?'} {self.bits} {self.access or ''}>"

    def _bound_to(self, owner: str, name: str, width: int, access: AccessKind) -> Field[T]:
        """Return a copy for the register class ``owner``; raise DeclarationError if it is wrong."""
        where = f"{owner}.{name}"
        if self.bits.high >= width:
            raise DeclarationError(
                f"{where}: {self.bits} lies outside the {width} bits of the register",
                hint="Correct the bits of the field or width= of the register",
            )
        own = copy.copy(self)
        own.name = name
        own.access = self._declared or access
        if self.enum is not None:
            check_enum(where, self.enum, self.bits.width)
            own._read = enum_reader(self.enum)
        if self.reset is not None and not 0 <= self.reset <= self._limit:
            raise DeclarationError(
                f"{where}: reset value {self.reset} does not fit {self.bits}",
                hint=f"Give 0 to {self._limit}, without the shift",
            )
        return own

    def _encode(self, owner: str, value: object) -> int:
        """Return ``value`` at the field's place; raise RegisterError if it does not fit."""
        return to_unsigned(f"{owner}.{self.name}", value, self.width, str(self.bits)) << self._shift

    def _text(self, number: int) -> str:
        """Return the field's value for people: ``NVM (0)`` for a member, else the number."""
        if self._read is None:
            return str(number) if number < 10 else f"{number} (0x{number:x})"
        return f"{getattr(self._read(number), 'name', None) or number} (0x{number:x})"
