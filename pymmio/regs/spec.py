"""What the class of a register declares, checked and in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pymmio.errors import DeclarationError
from pymmio.regs.bits import check_overlap
from pymmio.regs.field import RESERVED, RO, RW, W1C, W1S, WO, AccessKind, Field

__all__ = ["RegisterSpec", "check_offset"]

WIDTHS = (8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class RegisterSpec:
    """The declaration of a register; ``CAP.spec`` of a class ``CAP``.

    ``offset`` is in bytes, None where the register file gives it.  ``width`` is in bits.
    ``read_side_effects`` None means: as the rule of the region says.
    """

    name: str
    offset: int | None
    width: int
    access: AccessKind
    fields: Mapping[str, Field[int]]
    reset: int
    doc: str
    read_side_effects: bool | None = None
    all_ones_means_gone: bool = False

    @property
    def size_bytes(self) -> int:
        """Bytes that the register takes."""
        return self.width // 8

    @property
    def all_ones(self) -> int:
        """The largest value; what a read from a device that is gone gives."""
        return (1 << self.width) - 1

    @property
    def readable(self) -> bool:
        """Whether a read means anything."""
        return any(kind not in (WO, RESERVED) for kind in self._kinds())

    @property
    def writable(self) -> bool:
        """Whether a write does anything."""
        return any(kind in (RW, WO, W1C, W1S) for kind in self._kinds())

    def mask(self, *kinds: AccessKind) -> int:
        """Return the bits of all fields whose access is one of ``kinds``.

        Without any field the whole register has the access of its class.
        """
        if not self.fields:
            return self.all_ones if self.access in kinds else 0
        bits = 0
        for field in self.fields.values():
            if field.access in kinds:
                bits |= field.mask
        return bits

    def _kinds(self) -> Iterator[AccessKind]:
        if not self.fields:
            yield self.access
        for field in self.fields.values():
            yield field.access or self.access

    def check(self) -> None:
        """Raise DeclarationError if the declaration contradicts itself."""
        where = self.name
        if self.width not in WIDTHS:
            raise DeclarationError(
                f"{where}: width={self.width!r}", hint="Give width=8, 16, 32 or 64 (bits)"
            )
        if self.access is RESERVED:
            raise DeclarationError(f"{where}: access=RESERVED", hint="Only fields can be RESERVED")
        if self.offset is not None:
            check_offset(where, self.offset, self.width)
        check_overlap(
            where, ((f.name, f.bits.low, f.bits.high) for f in self.fields.values()), "bits"
        )
        for field in self.fields.values():
            if self.access in (RO, WO) and field.access not in (self.access, RESERVED):
                raise DeclarationError(
                    f"{where} is {self.access}, its field {field.name!r} is {field.access}",
                    hint="Declare the register as RW and give each field its access",
                )
        if not 0 <= self.reset <= self.all_ones:
            raise DeclarationError(
                f"{where}: reset value 0x{self.reset:x} does not fit {self.width} bits",
                hint="Correct reset= or width=",
            )
        for field in self.fields.values():
            seen = (self.reset >> field.bits.low) & field.bits.limit
            if field.reset is not None and field.reset != seen:
                raise DeclarationError(
                    f"{where}.{field.name}: reset value {field.reset}, but reset= of the "
                    f"register says {seen}",
                    hint="Declare it once",
                )


def check_offset(where: str, offset: int, width: int) -> None:
    """Raise DeclarationError unless ``offset`` (bytes) suits a register of ``width`` bits."""
    if offset < 0 or offset % (width // 8):
        raise DeclarationError(
            f"{where}: a register of {width} bits at offset 0x{offset:x} is not aligned"
            if offset >= 0
            else f"{where}: offset {offset} is negative",
            hint=f"Give a multiple of {width // 8} bytes",
        )
