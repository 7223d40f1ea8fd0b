"""What capabilities of both lists have in common: a live view of registers at a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeVar

from pymmio.errors import AccessError, DeviceGone, ProtocolError
from pymmio.pci.header import ConfigRegion
from pymmio.regs import Register

__all__ = ["CapabilityView", "Facts", "set_fields"]

R = TypeVar("R", bound=Register)

Facts = Mapping[str, object]
"""What a capability says, by name; values are ready for JSON."""


class CapabilityView:
    """A capability where it stands in configuration space.

    The object is a live view: it keeps no content, each property reads the device again.
    A register beyond the space of its list raises ProtocolError, as the device said that
    something was there.
    """

    __slots__ = ("_config", "id", "offset")

    space_end: ClassVar[int]  #: where the space of the list ends

    id: int
    offset: int

    def __init__(self, config: ConfigRegion, offset: int, capability_id: int) -> None:
        self._config = config
        self.offset = offset
        self.id = capability_id

    @property
    def name(self) -> str:
        """The capability's name, or its number where it has none."""
        raise NotImplementedError

    def facts(self) -> Facts:
        """Read what it says, by name, ready for JSON; nothing is known of generic ones.

        Raises ProtocolError where it says what it must not, and what an access raises.
        """
        return {}

    def as_dict(self) -> dict[str, object]:
        """Return id, name, offset and all facts, ready for JSON; reads the device.

        Where the facts cannot be read, ``error`` says why in their place.
        """
        try:
            facts = self.facts()
        except (ProtocolError, AccessError) as error:
            facts = {"error": str(error)}
        return {**self._identity(), **facts}

    def said(self) -> str:
        """Return the facts as one line for people, or why they cannot be read."""
        try:
            facts = self.facts()
        except (ProtocolError, AccessError) as error:
            return f"not decoded: {error}"
        return " ".join(f"{key}={_text(key, value)}" for key, value in facts.items())

    def __str__(self) -> str:
        said = self.said()
        return f"[{self._where()}] {self.name}" + (f": {said}" if said else "")

    # --- for subclasses ------------------------------------------------------------

    def _identity(self) -> dict[str, object]:
        return {"id": self.id, "name": self.name, "offset": self.offset}

    def _where(self) -> str:
        return f"{self.offset:02x}"

    def _read_number(self, at: int, width: int) -> int:
        """Read ``width`` bytes, ``at`` bytes into the capability."""
        offset = self.offset + at
        if offset + width > self.space_end:
            raise ProtocolError(
                f"capability {self.name} at {self.offset:#x} has a register at {offset:#x},"
                f" beyond the {self.space_end:#x} bytes where capabilities live"
            )
        if width == 1:
            return self._config.read8(offset)
        if width == 2:
            return self._config.read16(offset)
        return self._config.read32(offset)

    def _read(self, register: type[R], at: int | None = None) -> R:
        """Read a register ``at`` bytes into the capability, else where it is declared."""
        spec = register.spec
        place = spec.offset if at is None else at
        assert place is not None
        return register(self._read_number(place, spec.width // 8))

    def _write(self, value: Register) -> None:
        """Write a 16-bit register whose declared offset counts from the capability's start."""
        spec = value.spec
        assert spec.offset is not None
        assert spec.width == 16
        self._config.write16(self.offset + spec.offset, int(value))

    def _refused(self, what: str) -> ProtocolError:
        return ProtocolError(f"{self.name} at {self.offset:#x}: {what}")

    def _check_answers(self, value: Register) -> None:
        """Raise DeviceGone if a register that has zero bits reads as ones."""
        if int(value) == (1 << value.spec.width) - 1:
            raise DeviceGone(
                f"{value.spec.name} of capability {self.name} at {self.offset:#x} reads as ones",
                hint="Was the device unplugged, or is its slot or link without power?",
            )


def set_fields(value: Register) -> list[str]:
    """Return the names of the fields that are not 0; for registers of single bits."""
    return [name for name, number in value.fields().items() if number]


_IN_HEX = frozenset({"address", "data", "offset", "header_log", "vf_device_id"})


def _text(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key in _IN_HEX:
        return f"{value:#x}"
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{_text(name, item)}" for name, item in value.items())
    if isinstance(value, list):
        if any(isinstance(item, Mapping) for item in value):
            return ";".join(_text(key, item) for item in value)
        return ",".join(_text(key, item) for item in value) or "none"
    return "none" if value is None else str(value)
