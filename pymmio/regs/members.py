"""Members of in-memory structures: integers, bits in them, bytes, text."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, Self, TypeVar, overload

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs.bits import BitRange, check_enum, enum_reader, to_unsigned

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymmio.regs.layout import Layout

__all__ = [
    "U8",
    "U16",
    "U32",
    "U64",
    "U128",
    "Ascii",
    "Bits",
    "Bytes",
    "Member",
    "UInt",
    "UIntType",
]

V = TypeVar("V")
T = TypeVar("T", bound=int)
ByteOrder = Literal["little", "big"]


class Member(Generic[V]):
    """A part of a :class:`~pymmio.regs.layout.Layout`; ``offset`` and ``size`` are in bytes."""

    shares_bytes: ClassVar[bool] = False
    """Whether it lies inside another member (bits inside an integer)."""

    name: str = ""
    owner: str = ""
    byteorder: ByteOrder = "little"

    def __init__(self, offset: int, size: int, *, doc: str = "") -> None:
        self.offset = offset
        self.size = size
        self.doc = doc

    @overload
    def __get__(self, value: None, owner: type[Layout] | None = None) -> Self: ...
    @overload
    def __get__(self, value: Layout, owner: type[Layout] | None = None) -> V: ...
    def __get__(self, value: Layout | None, owner: type[Layout] | None = None) -> Self | V:
        if value is None:
            return self
        return self.decode(value._data[self.offset : self.offset + self.size])

    def __set__(self, value: Layout, new: V) -> None:
        value._put(self, new)

    def __set_name__(self, owner: type[Layout], name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.where} at 0x{self.offset:x}, {self.size} bytes>"

    @property
    def where(self) -> str:
        """Structure and name, for messages."""
        return f"{self.owner}.{self.name}"

    def decode(self, data: bytes | memoryview) -> V:
        """Return the value of the ``size`` bytes ``data``."""
        raise NotImplementedError

    def encode(self, value: object, before: bytes | memoryview) -> bytes:
        """Return ``size`` bytes for ``value``; raise RegisterError if it does not fit.

        ``before`` is what stands there, for members that are only a part of their bytes.
        """
        raise NotImplementedError

    def bound_to(self, owner: str, name: str, byteorder: ByteOrder) -> Self:
        """Return a copy for the structure ``owner``; raise DeclarationError if it is wrong."""
        own = copy.copy(self)
        own.owner = owner
        own.name = name
        own.byteorder = byteorder
        if self.offset < 0 or self.size < 1:
            raise DeclarationError(
                f"{own.where}: offset {self.offset}, size {self.size}",
                hint="Offsets start at 0, sizes at 1 (bytes)",
            )
        return own


class UInt(Member[T]):
    """An unsigned integer, made by ``U8(offset)``, ``U16(offset)``, ...; an ``enum`` if given."""

    def __init__(
        self, offset: int, size: int, *, enum: type[T] | None = None, doc: str = ""
    ) -> None:
        super().__init__(offset, size, doc=doc)
        self.enum = enum
        self._read: Callable[[int], T] | None = None

    def decode(self, data: bytes | memoryview) -> T:
        number = int.from_bytes(data, self.byteorder)
        return self._read(number) if self._read else number  # type: ignore[return-value]

    def encode(self, value: object, before: bytes | memoryview) -> bytes:
        return to_unsigned(self.where, value, 8 * self.size).to_bytes(self.size, self.byteorder)

    def bound_to(self, owner: str, name: str, byteorder: ByteOrder) -> Self:
        own = super().bound_to(owner, name, byteorder)
        if self.enum is not None:
            check_enum(own.where, self.enum, 8 * self.size)
            own._read = enum_reader(self.enum)
        return own


class UIntType:
    """An unsigned integer type of ``size`` bytes; calling it declares a member."""

    def __init__(self, size: int) -> None:
        self.size = size

    @overload
    def __call__(self, offset: int, *, doc: str = "") -> UInt[int]: ...
    @overload
    def __call__(self, offset: int, *, enum: type[T], doc: str = "") -> UInt[T]: ...
    def __call__(
        self, offset: int, *, enum: type[T] | None = None, doc: str = ""
    ) -> UInt[T] | UInt[int]:
        return UInt(offset, self.size, enum=enum, doc=doc)

    def __repr__(self) -> str:
        return f"U{8 * self.size}"


U8 = UIntType(1)
U16 = UIntType(2)
U32 = UIntType(4)
U64 = UIntType(8)
U128 = UIntType(16)


class Bits(Member[T]):
    """Bits inside an integer member of the same structure.

    ::

        oacs = U16(256)
        security = Bits(oacs, bit=0)

    Setting it in a live structure rewrites the whole integer.
    """

    shares_bytes = True

    @overload
    def __init__(
        self: Bits[int],
        container: UInt[int],
        *,
        bit: int | None = None,
        bits: tuple[int, int] | None = None,
        doc: str = "",
    ) -> None: ...
    @overload
    def __init__(
        self,
        container: UInt[int],
        *,
        bit: int | None = None,
        bits: tuple[int, int] | None = None,
        enum: type[T],
        doc: str = "",
    ) -> None: ...
    def __init__(
        self,
        container: UInt[int],
        *,
        bit: int | None = None,
        bits: tuple[int, int] | None = None,
        enum: type[T] | None = None,
        doc: str = "",
    ) -> None:
        super().__init__(container.offset, container.size, doc=doc)
        self.container = container
        self.bits = BitRange.of(bit, bits)
        self.enum = enum
        self._read: Callable[[int], T] | None = None

    def decode(self, data: bytes | memoryview) -> T:
        number = (int.from_bytes(data, self.byteorder) >> self.bits.low) & self.bits.limit
        return self._read(number) if self._read else number  # type: ignore[return-value]

    def encode(self, value: object, before: bytes | memoryview) -> bytes:
        number = to_unsigned(self.where, value, self.bits.width, str(self.bits))
        rest = int.from_bytes(before, self.byteorder) & ~self.bits.mask
        return (rest | number << self.bits.low).to_bytes(self.size, self.byteorder)

    def bound_to(self, owner: str, name: str, byteorder: ByteOrder) -> Self:
        own = super().bound_to(owner, name, byteorder)
        if self.bits.high >= 8 * self.size:
            raise DeclarationError(
                f"{own.where}: {self.bits} lies outside the {8 * self.size} bits of "
                f"{self.container.name!r}",
                hint="Correct the bits, or take a wider integer",
            )
        if self.enum is not None:
            check_enum(own.where, self.enum, self.bits.width)
            own._read = enum_reader(self.enum)
        return own


class Bytes(Member[bytes]):
    """``size`` bytes as they are."""

    def decode(self, data: bytes | memoryview) -> bytes:
        return bytes(data)

    def encode(self, value: object, before: bytes | memoryview) -> bytes:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise RegisterError(f"{self.where} was given {value!r}", hint="Give bytes")
        data = bytes(value)
        if len(data) != self.size:
            raise RegisterError(
                f"{self.where} takes {self.size} bytes, got {len(data)}",
                hint="Pad or cut the value",
            )
        return data


class Ascii(Member[str]):
    """Text of printable ASCII, left-justified and padded with spaces (NVMe Base 2.0 §1.4).

    ``pad`` is the byte that fills the rest.  Reading strips padding and NULs at the end;
    other bytes, which a device should not send, are shown as ``\\xNN`` so that they cannot
    steer a terminal.
    """

    def __init__(self, offset: int, size: int, *, pad: bytes = b" ", doc: str = "") -> None:
        super().__init__(offset, size, doc=doc)
        if len(pad) != 1:
            raise DeclarationError(f"Ascii at 0x{offset:x}: pad={pad!r}", hint="Give one byte")
        self.pad = pad

    def decode(self, data: bytes | memoryview) -> str:
        text = bytes(data).rstrip(b"\0" + self.pad)
        return "".join(chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in text)

    def encode(self, value: object, before: bytes | memoryview) -> bytes:
        if not isinstance(value, str) or not all(" " <= c <= "~" for c in value):
            raise RegisterError(
                f"{self.where} was given {value!r}", hint="Give a str of printable ASCII"
            )
        if len(value) > self.size:
            raise RegisterError(
                f"{self.where} takes {self.size} characters, got {len(value)}", hint="Cut the text"
            )
        return value.encode("ascii").ljust(self.size, self.pad)
