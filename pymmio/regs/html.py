"""Registers as a notebook shows them.

Showing an object must not touch a device: values appear of what was read already (values,
dumps); of registers and register files the declaration does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pymmio.notebook import Row, html_note, html_table
from pymmio.regs.field import RESERVED, Field

if TYPE_CHECKING:
    from pymmio.regs.bound import BoundRegister
    from pymmio.regs.dump import RegisterDump
    from pymmio.regs.dump_layout import LayoutDump
    from pymmio.regs.file import RegisterFile
    from pymmio.regs.register import Register
    from pymmio.regs.spec import RegisterSpec

__all__ = ["dump_html", "file_html", "layout_html", "register_html", "value_html"]

R = TypeVar("R", bound="Register")


def dump_html(dump: RegisterDump) -> str:
    """Return a table of what was read, with the fields of each register below it."""
    rows: list[Row] = []
    for r in dump.registers:
        shown = r.hex if r.not_read is None else "not read"
        cells = (f"0x{r.offset:04x}", r.name, str(r.access), shown, r.not_read or r.doc)
        rows.append(Row(cells))
        for f in r.fields:
            label = f"{f.name} [{f.bits}]"
            rows.append(Row(("", label, str(f.access), f.text, f.doc), is_detail=True))
    return html_table(
        dump.title,
        ("offset", "register", "access", "value", "meaning"),
        rows,
        mono=("offset", "register", "value"),
    )


def value_html(value: Register) -> str:
    """Return a table of the fields of a value."""
    spec = value.spec
    raw = int(value)
    rows = [
        (_bits(field), name, field._text((raw & field.mask) >> field.bits.low), field.doc)
        for name, field in spec.fields.items()
        if field.access is not RESERVED
    ]
    title = f"{spec.name} = 0x{raw:0{spec.width // 4}x}"
    columns = ("bits", "field", "value", "meaning")
    return html_table(title, columns, rows, mono=("field", "value")) + _doc(spec)


def register_html(register: BoundRegister[R]) -> str:
    """Return where a register is and what is declared of it; it is not read."""
    spec = register.spec
    rows = [
        (_bits(field), name, str(field.access or spec.access), field.doc)
        for name, field in spec.fields.items()
    ]
    title = f"{register.name} at {register.offset:#x}, {spec.width} bits, {spec.access}"
    columns = ("bits", "field", "access", "meaning")
    table = html_table(title, columns, rows, mono=("field",))
    return table + _doc(spec) + html_note("Not read: use read().")


def file_html(regs: RegisterFile) -> str:
    """Return the registers of a file as they are declared; none is read."""
    rows = [
        (
            f"0x{place.offset:04x}",
            f"{place.name}[0..{place.count - 1}]" if place.is_array else place.name,
            f"{place.spec.width}",
            str(place.spec.access),
            place.spec.doc,
        )
        for place in type(regs).places.values()
    ]
    columns = ("offset", "register", "bits", "access", "meaning")
    title = f"{type(regs).__name__} of {regs.region.name}"
    table = html_table(title, columns, rows, mono=("offset", "register"))
    return table + html_note("Nothing was read: use dump().")


def layout_html(dump: LayoutDump) -> str:
    """Return a table of the members of a structure."""
    rows = ((str(m.offset), m.name, m.text, m.doc) for m in dump.members)
    columns = ("byte", "member", "value", "meaning")
    return html_table(dump.title, columns, rows, mono=("byte", "member", "value"))


def _bits(field: Field[int]) -> str:
    low, high = field.bits.low, field.bits.high
    return f"{low}" if low == high else f"{high}:{low}"


def _doc(spec: RegisterSpec) -> str:
    return html_note(spec.doc) if spec.doc else ""
