"""Structures in memory, declared once, with a byte order that does not depend on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from pymmio.errors import DeclarationError, RegisterError
from pymmio.regs.bits import check_overlap
from pymmio.regs.members import Bits, ByteOrder, Member
from pymmio.regs.names import unknown_name

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from pymmio.regs.dump_layout import LayoutDump

__all__ = ["Layout", "LayoutSpec"]

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class LayoutSpec:
    """The declaration of a structure; ``Entry.spec`` of a class ``Entry``.  ``size`` in bytes."""

    name: str
    size: int
    byteorder: ByteOrder
    members: Mapping[str, Member[object]]


class Layout:
    """A structure in memory, such as a queue entry or a data page that a device fills.

    ::

        class LbaFormat(Layout, size=4, byteorder="little"):
            ms = U16(0)
            lbads = U8(2)
            rest = U8(3)
            rp = Bits(rest, bits=(0, 1))

    ``size`` is in bytes and asserted: members that overlap or do not fit raise
    DeclarationError when the class is made.  Bytes that no member names are allowed, and are
    0 in what is built.  A subclass inherits members, size and byte order.

    ``LbaFormat(lbads=9)`` is a frozen value, ``LbaFormat.parse(buffer)`` one from bytes,
    ``LbaFormat.view(buffer)`` reads and writes the buffer itself.  Members are decoded when
    they are asked for.  An access by a view is a copy of bytes and no single access of the
    bus: what a device writes at the same time is for the queue engines.
    """

    __slots__ = ("_data",)

    _data: bytes | memoryview
    spec: ClassVar[LayoutSpec]

    def __init_subclass__(
        cls, *, size: int | None = None, byteorder: ByteOrder | None = None
    ) -> None:
        super().__init_subclass__()
        name = cls.__name__
        parent: LayoutSpec | None = getattr(cls, "spec", None)
        if "spec" in vars(cls):
            raise DeclarationError(f"{name}: the name 'spec' is taken", hint="Rename it")
        if parent is not None:
            size = parent.size if size is None else size
            byteorder = byteorder or parent.byteorder
        if size is None or size < 1:
            raise DeclarationError(f"{name}: size={size}", hint="Give size= in bytes, 1 or more")
        if byteorder not in ("little", "big"):
            raise DeclarationError(
                f"{name}: byteorder={byteorder!r}", hint='Give byteorder="little" or "big"'
            )
        if parent is not None and byteorder != parent.byteorder:
            raise DeclarationError(
                f"{name} is {byteorder}-endian, {parent.name} is {parent.byteorder}-endian",
                hint="A subclass keeps the byte order",
            )
        members = _collect(cls, parent, byteorder)
        _check_places(name, size, members)
        cls.spec = LayoutSpec(name, size, byteorder, members)

    def __init__(self, **members: object) -> None:
        self._build(bytes(self.spec.size), members)

    @classmethod
    def parse(cls, buffer: Buffer, offset: int = 0) -> Self:
        """Return the frozen value of the bytes at ``offset``; the buffer is copied.

        Raise RegisterError if the buffer is too short; bytes behind the structure are
        ignored.
        """
        return cls._over(bytes(cls._slice(buffer, offset)))

    @classmethod
    def view(cls, buffer: Buffer, offset: int = 0) -> Self:
        """Return an accessor that reads and writes the bytes of ``buffer`` at ``offset``.

        It keeps the buffer exported (a DMA buffer cannot be closed) as long as it lives.
        Setting a member raises RegisterError if the buffer is read-only.
        """
        return cls._over(cls._slice(buffer, offset))

    @classmethod
    def build(cls, **members: object) -> bytes:
        """Return the bytes of the structure with these members, 0 elsewhere."""
        return cls(**members).pack()

    def pack(self) -> bytes:
        """Return a copy of the bytes."""
        return bytes(self._data)

    def replace(self, **members: object) -> Self:
        """Return a frozen copy with other values of the named members."""
        copy = self._over(b"")
        copy._build(self.pack(), members)
        return copy

    def set(self, **members: object) -> None:
        """Set the named members of a view, in the given order."""
        for name, value in members.items():
            self._put(self._member(name), value)

    def fields(self) -> dict[str, object]:
        """Return the values of all members by name."""
        return {name: getattr(self, name) for name in self.spec.members}

    def as_dict(self) -> dict[str, object]:
        """Return plain data for JSON: numbers, text, bytes in hex, nested dicts and lists."""
        return {name: _plain(value) for name, value in self.fields().items()}

    def dump(self) -> LayoutDump:
        """Return the values of all members for text, JSON or a rich table."""
        from pymmio.regs.dump_layout import dump_layout

        return dump_layout(self)

    # --- how -----------------------------------------------------------------------

    @classmethod
    def _over(cls, data: bytes | memoryview) -> Self:
        value = object.__new__(cls)
        object.__setattr__(value, "_data", data)
        return value

    @classmethod
    def _slice(cls, buffer: Buffer, offset: int) -> memoryview:
        whole = memoryview(buffer)
        if not 0 <= offset <= whole.nbytes - cls.spec.size:
            raise RegisterError(
                f"{cls.spec.name} takes {cls.spec.size} bytes, the buffer has {whole.nbytes} "
                f"and the offset is {offset}",
                hint="Give a buffer that contains the whole structure",
            )
        return whole.cast("B")[offset : offset + cls.spec.size]

    @classmethod
    def _member(cls, name: str) -> Member[object]:
        try:
            return cls.spec.members[name]
        except KeyError:
            raise unknown_name(cls.spec.name, name, cls.spec.members) from None

    def _build(self, start: bytes, members: Mapping[str, object]) -> None:
        data = bytearray(start)
        # Bits go last, so that an integer given beside them does not wipe them out.
        for name in sorted(members, key=lambda key: self._member(key).shares_bytes):
            member = self._member(name)
            part = slice(member.offset, member.offset + member.size)
            data[part] = member.encode(members[name], bytes(data[part]))
        object.__setattr__(self, "_data", bytes(data))

    def _put(self, member: Member[V], value: object) -> None:
        data = self._data
        if isinstance(data, bytes) or data.readonly:
            raise RegisterError(
                f"{member.where} cannot be set: "
                + ("the value is frozen" if isinstance(data, bytes) else "the buffer is read-only"),
                hint=f"Use replace({member.name}=...), or {self.spec.name}.view(writable buffer)",
            )
        part = slice(member.offset, member.offset + member.size)
        data[part] = member.encode(value, data[part])

    def __setattr__(self, name: str, value: object) -> None:
        self._put(self._member(name), value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Layout)
        return self._data == other._data

    def __hash__(self) -> int:
        if not isinstance(self._data, bytes):
            raise TypeError(f"a view of {self.spec.name} changes and has no hash")
        return hash((type(self), self._data))

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return type(self).parse, (self.pack(),)

    def _repr_html_(self) -> str:
        return self.dump()._repr_html_()

    def __repr__(self) -> str:
        kind = self.spec.name + ("" if isinstance(self._data, bytes) else ".view")
        parts = (f"{name}={_shown(value)}" for name, value in self.fields().items())
        return f"{kind}({', '.join(parts)})"


def _plain(value: object) -> object:
    if isinstance(value, Layout):
        return value.as_dict()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return int(value) if isinstance(value, int) else value


def _shown(value: object) -> str:
    if isinstance(value, bytes) and len(value) > 16:
        return f"<{len(value)} bytes>" if any(value) else f"<{len(value)} zero bytes>"
    if isinstance(value, tuple) and len(value) > 4:
        return f"<{len(value)} elements>"
    return repr(value)


def _collect(
    cls: type[Layout], parent: LayoutSpec | None, byteorder: ByteOrder
) -> dict[str, Member[object]]:
    """Give ``cls`` its own copy of each member, inherited ones first, in order of offsets."""
    found: dict[str, Member[object]] = dict(parent.members) if parent is not None else {}
    for name, item in list(vars(cls).items()):
        if isinstance(item, Member):
            if hasattr(Layout, name):
                raise DeclarationError(
                    f"{cls.__name__}: a member cannot be named {name!r}, the name is taken",
                    hint=f"Name it {name}_",
                )
            found[name] = item
        elif name in found:
            raise DeclarationError(
                f"{cls.__name__}.{name} hides the inherited member", hint="Rename it"
            )
    result = {}
    for name in sorted(found, key=lambda key: (found[key].offset, found[key].shares_bytes)):
        own = found[name].bound_to(cls.__name__, name, byteorder)
        setattr(cls, name, own)
        result[name] = own
    return result


def _check_places(owner: str, size: int, members: Mapping[str, Member[object]]) -> None:
    for member in members.values():
        if member.offset + member.size > size:
            raise DeclarationError(
                f"{member.where}: bytes {member.offset} to {member.offset + member.size - 1} "
                f"lie outside the {size} bytes of the structure",
                hint="Compare offset, size and size= with the specification",
            )
    whole = [m for m in members.values() if not m.shares_bytes]
    check_overlap(owner, ((m.name, m.offset, m.offset + m.size - 1) for m in whole), "bytes")
    inside: dict[str, list[tuple[str, int, int]]] = {}
    for bits in members.values():
        if isinstance(bits, Bits):
            container = members.get(bits.container.name)
            if container is None or (container.offset, container.size) != (bits.offset, bits.size):
                raise DeclarationError(
                    f"{bits.where} lies in an integer that is no member of {owner}",
                    hint="Declare the integer in the same class: word = U16(8)",
                )
            inside.setdefault(container.name, []).append((bits.name, bits.bits.low, bits.bits.high))
    for name, ranges in inside.items():
        check_overlap(f"{owner}.{name}", ranges, "bits")
