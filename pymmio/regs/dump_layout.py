"""Dumps of in-memory structures: text, JSON, rich table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pymmio.regs.layout import Layout
from pymmio.regs.members import Bits

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["DumpedMember", "LayoutDump", "dump_layout"]


@dataclass(frozen=True, slots=True)
class DumpedMember:
    """One line of a dump: where it stands (bytes), its dotted name, its value for people."""

    offset: int
    name: str
    text: str
    doc: str


@dataclass(frozen=True, slots=True)
class LayoutDump:
    """The members of a structure in order of their offsets.

    Elements at the end of an array that are all zero share one line.
    """

    title: str
    members: tuple[DumpedMember, ...]
    data: dict[str, object] = field(repr=False, hash=False)

    def text(self) -> str:
        """Return lines for a terminal or a log."""
        names = max((len(m.name) for m in self.members), default=0)
        values = max((len(m.text) for m in self.members if len(m.text) <= 40), default=0)
        lines = [
            f"{m.offset:>5}  {m.name:<{names}}  {m.text:<{values}}  {m.doc}".rstrip()
            for m in self.members
        ]
        return "\n".join([self.title, *lines])

    def as_dict(self) -> dict[str, object]:
        """Return the values of all members as plain data, as :meth:`json` writes them."""
        return self.data

    def json(self, *, indent: int | None = None) -> str:
        """Return a JSON object of all members; bytes are hexadecimal text."""
        return json.dumps(self.data, indent=indent)

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from pymmio.regs.html import layout_html

        return layout_html(self)

    def __rich__(self) -> Table:
        """Return a table for rich."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(self.title))
        table.add_column("byte", justify="right")
        for column in ("member", "value", "meaning"):
            table.add_column(column, overflow="fold")
        for m in self.members:
            table.add_row(*(Text(cell) for cell in (str(m.offset), m.name, m.text, m.doc)))
        return table


def dump_layout(value: Layout) -> LayoutDump:
    """Return the dump of ``value``, of which a copy is taken first."""
    frozen = type(value).parse(value.pack())
    return LayoutDump(frozen.spec.name, tuple(_members(frozen, "", 0)), frozen.as_dict())


def _members(value: Layout, prefix: str, base: int) -> Iterator[DumpedMember]:
    for name, member in value.spec.members.items():
        item: object = getattr(value, name)
        place = base + member.offset
        dotted = f"{prefix}{name}"
        if isinstance(item, Layout):
            yield from _members(item, f"{dotted}.", place)
        elif isinstance(item, tuple):
            yield from _elements(item, dotted, place, member.size // len(item), member.doc)
        else:
            doc = member.doc
            if isinstance(member, Bits):
                doc = f"[{str(member.bits).split()[-1]}] {doc}".rstrip()
            yield DumpedMember(place, dotted, _text(item), doc)


def _elements(
    items: tuple[object, ...], name: str, base: int, step: int, doc: str
) -> Iterator[DumpedMember]:
    used = len(items)
    while used and not _any_set(items[used - 1]):
        used -= 1
    for index, item in enumerate(items[:used]):
        place = base + index * step
        if isinstance(item, Layout):
            yield from _members(item, f"{name}[{index}].", place)
        else:
            yield DumpedMember(place, f"{name}[{index}]", _text(item), doc)
    if used < len(items):
        last = len(items) - 1
        which = f"{used}" if used == last else f"{used}..{last}"
        yield DumpedMember(base + used * step, f"{name}[{which}]", "all zero", doc)


def _any_set(item: object) -> bool:
    return any(item.pack()) if isinstance(item, Layout) else bool(item)


def _text(item: object) -> str:
    if isinstance(item, bytes):
        return item.hex() if any(item) else f"{len(item)} zero bytes"
    if isinstance(item, int):
        name = getattr(item, "name", None)
        number = int(item)
        if name:
            return f"{name} (0x{number:x})"
        return str(number) if number < 10 else f"{number} (0x{number:x})"
    return str(item)
