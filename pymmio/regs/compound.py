"""Members of in-memory structures that consist of others: nested structures and arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Self, TypeVar, cast, overload

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs.layout import Layout
from pymmio.regs.members import ByteOrder, Member, UInt, UIntType

__all__ = ["ArrayOf", "Nested"]

L = TypeVar("L", bound=Layout)
E = TypeVar("E")


class Nested(Member[L]):
    """A structure inside a structure, with its own byte order.

    In a view it is a view itself: ``page.header.length = 4`` writes to the buffer.
    """

    def __init__(self, layout: type[L], offset: int, *, doc: str = "") -> None:
        super().__init__(offset, layout.spec.size, doc=doc)
        self.layout = layout

    def decode(self, data: bytes | memoryview) -> L:
        return self.layout._over(data)

    def encode(self, value: object, before: bytes | memoryview) -> bytes:
        if type(value) is not self.layout:
            raise RegisterError(
                f"{self.where} was given {value!r}", hint=f"Give a {self.layout.spec.name}"
            )
        return value.pack()


class ArrayOf(Member[tuple[E, ...]], Generic[E]):
    """``count`` elements without gaps, read as a tuple and set as a whole.

    The element is an integer type (``ArrayOf(U32, 0x10, count=4)``) or a Layout; in a view
    the structures are views themselves.
    """

    @overload
    def __init__(
        self: ArrayOf[int], element: UIntType, offset: int, *, count: int, doc: str = ""
    ) -> None: ...
    @overload
    def __init__(
        self: ArrayOf[L], element: type[L], offset: int, *, count: int, doc: str = ""
    ) -> None: ...
    def __init__(
        self, element: UIntType | type[Layout], offset: int, *, count: int, doc: str = ""
    ) -> None:
        if count < 1:
            raise DeclarationError(f"array at 0x{offset:x}: count={count}", hint="Give 1 or more")
        inner: UInt[int] | Nested[Layout] = (
            element(0) if isinstance(element, UIntType) else Nested(element, 0)
        )
        super().__init__(offset, count * inner.size, doc=doc)
        self.count = count
        self._element = cast("Member[E]", inner)

    def decode(self, data: bytes | memoryview) -> tuple[E, ...]:
        element = self._element
        step = element.size
        return tuple(element.decode(data[at : at + step]) for at in range(0, self.size, step))

    def encode(self, value: object, before: bytes | memoryview) -> bytes:
        items = list(value) if isinstance(value, Iterable) else None
        if items is None or len(items) != self.count:
            got = repr(value) if items is None else f"{len(items)} elements"
            raise RegisterError(
                f"{self.where} takes {self.count} elements, got {got}", hint="Give all of them"
            )
        return b"".join(self._element.encode(item, b"") for item in items)

    def bound_to(self, owner: str, name: str, byteorder: ByteOrder) -> Self:
        own = super().bound_to(owner, name, byteorder)
        own._element = self._element.bound_to(owner, f"{name}[]", byteorder)
        return own
