"""Dumps of a register file: text, JSON, rich table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymmio.errors import AccessError
from pymmio.regs.field import RESERVED, WO, AccessKind

if TYPE_CHECKING:
    from rich.table import Table

    from pymmio.regs.bound import BoundRegister
    from pymmio.regs.file import RegisterFile
    from pymmio.regs.register import Register

__all__ = ["DumpedField", "DumpedRegister", "RegisterDump", "dump_registers"]


@dataclass(frozen=True, slots=True)
class DumpedField:
    """One field of a dumped register; ``text`` is its value for people."""

    name: str
    bits: str
    access: AccessKind
    value: int
    text: str
    doc: str


@dataclass(frozen=True, slots=True)
class DumpedRegister:
    """One register as it was read, or the reason why it was not.

    ``offset`` is in bytes, ``width`` in bits.  Exactly one of ``value`` and ``not_read``
    is None.
    """

    name: str
    offset: int
    width: int
    access: AccessKind
    doc: str
    value: int | None
    not_read: str | None
    fields: tuple[DumpedField, ...] = ()

    @property
    def hex(self) -> str:
        """The value with all digits, or ``-``."""
        return "-" if self.value is None else f"0x{self.value:0{self.width // 4}x}"


@dataclass(frozen=True, slots=True)
class RegisterDump:
    """The registers of a file, in order of their offsets."""

    title: str
    registers: tuple[DumpedRegister, ...]

    def text(self) -> str:
        """Return lines for a terminal or a log."""
        lines = [self.title]
        names = max((len(r.name) for r in self.registers), default=0)
        for register in self.registers:
            head = f"0x{register.offset:04x}  {register.name:<{names}}  {register.access:<3}"
            tail = f"{register.hex}  {register.doc}".rstrip()
            if register.not_read:
                tail = f"not read: {register.not_read}"
            lines.append(f"{head}  {tail}")
            labels = [f"{f.name} [{f.bits}]" for f in register.fields]
            column = max(map(len, labels), default=0)
            for label, field in zip(labels, register.fields, strict=True):
                doc = f"  {field.doc}" if field.doc else ""
                lines.append(f"        {label:<{column}}  {field.text}{doc}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """Return plain data, as :meth:`json` writes it."""
        return {
            "title": self.title,
            "registers": [
                {
                    "name": r.name,
                    "offset": r.offset,
                    "width": r.width,
                    "access": str(r.access),
                    "value": r.value,
                    "hex": None if r.value is None else r.hex,
                    "not_read": r.not_read,
                    "fields": {f.name: f.value for f in r.fields},
                }
                for r in self.registers
            ],
        }

    def json(self, *, indent: int | None = None) -> str:
        """Return a JSON object; values are numbers, ``hex`` is the same as text."""
        return json.dumps(self.as_dict(), indent=indent)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from pymmio.regs.html import dump_html

        return dump_html(self)

    def __rich__(self) -> Table:
        """Return a table for rich."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self.title))
        for column in ("offset", "register", "access", "value", "meaning"):
            table.add_column(column, no_wrap=column != "meaning", overflow="fold")
        for r in self.registers:
            shown = r.hex if r.not_read is None else "not read"
            cells = (f"0x{r.offset:04x}", r.name, str(r.access), shown, r.not_read or r.doc)
            table.add_row(*(Text(cell) for cell in cells), style="bold")
            for f in r.fields:
                name = f"  {f.name} [{f.bits}]"
                cells = ("", name, str(f.access), f.text, f.doc)
                table.add_row(*(Text(cell) for cell in cells))
        return table


def dump_registers(regs: RegisterFile, *, side_effects: bool = False) -> RegisterDump:
    """Read what may be read of ``regs``, each register once; see RegisterFile.dump."""
    found: list[DumpedRegister] = []
    for place in type(regs).places.values():
        item = getattr(regs, place.name)
        if not place.is_array:
            found.append(_dump_one(item, regs.region.size, side_effects))
            continue
        reason = _reason(item[0], regs.region.size, side_effects)
        if reason is None:
            found += [_dump_one(one, regs.region.size, side_effects) for one in item]
        else:  # the reason is the same for all elements: one line
            found.append(_entry(item[0], f"{place.name}[0..{place.count - 1}]", not_read=reason))
    title = f"{type(regs).__name__} of {regs.region.name}"
    return RegisterDump(title, tuple(sorted(found, key=lambda entry: entry.offset)))


def _reason(bound: BoundRegister[Register], region_size: int, side_effects: bool) -> str | None:
    """Return why the register is not read, None if it may be."""
    if not bound.spec.readable:
        return "write-only"
    if bound.has_read_side_effects and not side_effects:
        return "a read has side effects"
    if bound.offset + bound.spec.size_bytes > region_size:
        return "outside the region"
    return None


def _dump_one(
    bound: BoundRegister[Register], region_size: int, side_effects: bool
) -> DumpedRegister:
    reason = _reason(bound, region_size, side_effects)
    if reason is not None:
        return _entry(bound, bound.name, not_read=reason)
    try:
        raw = bound.read_raw()
    except AccessError as error:  # said in the dump, the other registers are still of use
        return _entry(bound, bound.name, not_read=str(error))
    return _entry(bound, bound.name, value=raw)


def _entry(
    bound: BoundRegister[Register],
    name: str,
    *,
    value: int | None = None,
    not_read: str | None = None,
) -> DumpedRegister:
    spec = bound.spec
    fields: list[DumpedField] = []
    if value is not None:
        for field in spec.fields.values():
            access = field.access or spec.access
            if access not in (RESERVED, WO):
                number = (value & field.mask) >> field.bits.low
                low, high = field.bits.low, field.bits.high
                bits = f"{low}" if low == high else f"{high}:{low}"
                fields.append(
                    DumpedField(field.name, bits, access, number, field._text(number), field.doc)
                )
    return DumpedRegister(
        name, bound.offset, spec.width, spec.access, spec.doc, value, not_read, tuple(fields)
    )
