"""Names for offsets and bits: what turns ``0x1c read32 0x1`` into ``CSTS read32 = 0x1 (rdy=1)``.

Made from the declarations of a driver; plain values, so that a file can hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pymmio.trace.events import AccessEvent

__all__ = ["FieldName", "RegisterName", "RegisterNames", "region_label"]


class Declaration(Protocol):
    """A class of registers: :class:`pymmio.regs.RegisterFile` is one."""

    @property
    def places(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class FieldName:
    """Bits ``low`` to ``high`` of a register; ``labels`` has names of values."""

    name: str
    low: int
    high: int
    labels: tuple[tuple[int, str], ...] = ()

    def show(self, value: int) -> str:
        """Return ``name=value`` for a value of the register, "" where the bits are 0."""
        number = value >> self.low & (1 << self.high - self.low + 1) - 1
        if not number:
            return ""
        label = dict(self.labels).get(number)
        return f"{self.name}={label or (number if number < 10 else hex(number))}"


@dataclass(frozen=True, slots=True)
class RegisterName:
    """A register, or an array of ``count`` of them; offset, size and stride are in bytes."""

    name: str
    offset: int
    size: int
    fields: tuple[FieldName, ...] = ()
    count: int = 1
    stride: int = 0
    is_array: bool = False


class RegisterNames:
    """The names of the registers of one region."""

    def __init__(self, registers: Iterable[RegisterName]) -> None:
        self.registers = tuple(registers)
        self._singles = {one.offset: one for one in self.registers if not one.is_array}
        self._arrays = [one for one in self.registers if one.is_array]

    @classmethod
    def of(cls, declared: type[object] | Declaration | Mapping[int, str]) -> RegisterNames:
        """Take the names of a RegisterFile class, or of 32-bit registers by their offset."""
        if isinstance(declared, Mapping):
            return cls(RegisterName(name, offset, 4) for offset, name in declared.items())
        places = list(getattr(declared, "places").values())  # noqa: B009 - not in object's type
        classes = [place.spec.name for place in places]
        return cls(_named(place, place.spec.name in _repeated(classes)) for place in places)

    def joined(self, others: RegisterNames) -> RegisterNames:
        """Return these names and those of ``others``, which win at the same place."""
        taken = {(one.offset, one.is_array) for one in others.registers}
        kept = [one for one in self.registers if (one.offset, one.is_array) not in taken]
        return RegisterNames([*kept, *others.registers])

    def find(self, offset: int, width: int) -> tuple[str, RegisterName | None]:
        """Return the name of what lies at ``offset``, and the register if it is all of it.

        A part of a register has its distance in bytes behind the name; "" where nothing is.
        """
        for start in range(offset, max(-1, offset - 8), -1):
            one = self._singles.get(start)
            if one is not None and offset < start + one.size:
                if start == offset:
                    return one.name, one if width == one.size else None
                return f"{one.name}+{offset - start}", None
        for one in self._arrays:
            index, inside = divmod(offset - one.offset, one.stride or one.size)
            if 0 <= index < one.count and inside < one.size:
                name = f"{one.name}[{index}]" + (f"+{inside}" if inside else "")
                return name, one if not inside and width == one.size else None
        return "", None

    def fields_of(self, offset: int, width: int, value: int) -> str:
        """Return the fields that are not 0, ``rdy=1 shst=COMPLETE``; "" where none is known."""
        register = self.find(offset, width)[1]
        shown = [] if register is None else [field.show(value) for field in register.fields]
        return " ".join(one for one in shown if one)

    def describe(self, event: AccessEvent) -> str:
        """Return an event as text, with names where there are some."""
        name = self.find(event.position, event.width)[0]
        if not name:
            return str(event)
        what = f"{region_label(event.region)}.{name} {event.kind}{8 * event.width}"
        if event.count > 1:
            what += f" ({event.count} times)"
        if event.error:
            return f"{what} failed: {event.error}"
        if event.value is None:
            return f"{what} {event.size} bytes"
        fields = self.fields_of(event.position, event.width, event.value)
        return f"{what} = {event.value:#x}" + (f" ({fields})" if fields else "")


def region_label(name: str) -> str:
    """Return the region without its device and window: ``BAR0`` of ``sim:edu BAR0[0x0:0x8]``."""
    return name.rpartition(" ")[2].partition("[")[0]


def _repeated(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}


def _named(place: Any, by_attribute: bool) -> RegisterName:
    fields = tuple(
        FieldName(name, field.bits.low, field.bits.high, _labels(field.enum))
        for name, field in place.spec.fields.items()
        if str(field.access) != "RESERVED"
    )
    return RegisterName(
        place.name if by_attribute else place.spec.name,
        place.offset,
        place.spec.size_bytes,
        fields,
        place.count,
        place.stride,
        place.is_array,
    )


def _labels(enum: Any) -> tuple[tuple[int, str], ...]:
    if enum is None or not hasattr(enum, "__members__"):
        return ()
    return tuple((int(member), name) for name, member in enum.__members__.items())
