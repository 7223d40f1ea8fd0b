"""The numbers that identify a PCI function, and what a driver says about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pymmio.errors import DeclarationError

__all__ = ["HasPciIds", "PciIds", "PciMatch"]


class HasPciIds(Protocol):
    """Anything that carries a vendor id, a device id and a class code."""

    @property
    def vendor_id(self) -> int: ...

    @property
    def device_id(self) -> int: ...

    @property
    def class_code(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PciIds:
    """The identity of a PCI function (PCI Local Bus 3.0 §6.2.1 and §6.2.4).

    ``class_code`` has 24 bits: base class, subclass, programming interface.
    """

    vendor_id: int
    device_id: int
    class_code: int
    revision_id: int = 0
    subsystem_vendor_id: int = 0
    subsystem_id: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the numbers by name, ready for JSON."""
        return {
            "vendor_id": self.vendor_id,
            "device_id": self.device_id,
            "class_code": self.class_code,
            "revision_id": self.revision_id,
            "subsystem_vendor_id": self.subsystem_vendor_id,
            "subsystem_id": self.subsystem_id,
        }


@dataclass(frozen=True, slots=True)
class PciMatch:
    """Devices that a driver takes; what is None may be anything.

    Only the bits of ``class_mask`` count in a comparison of class codes: 0xffff00 leaves
    the programming interface open.  Raises DeclarationError where a declaration matches
    everything, or a number does not fit.
    """

    vendor_id: int | None = None
    device_id: int | None = None
    class_code: int | None = None
    class_mask: int = 0xFFFFFF

    def __post_init__(self) -> None:
        if self.vendor_id is None and self.device_id is None and self.class_code is None:
            raise DeclarationError(
                "a PciMatch without ids matches every device",
                hint="Give vendor_id and device_id, or class_code",
            )
        if self.device_id is not None and self.vendor_id is None:
            raise DeclarationError(
                f"PciMatch: device_id {self.device_id:#06x} means nothing without its vendor",
                hint="Give vendor_id too",
            )
        for name, bits in (
            ("vendor_id", 16),
            ("device_id", 16),
            ("class_code", 24),
            ("class_mask", 24),
        ):
            number = getattr(self, name)
            if number is not None and not 0 <= number < 1 << bits:
                raise DeclarationError(f"PciMatch: {name} {number:#x} does not fit {bits} bits")

    def matches(self, ids: HasPciIds) -> bool:
        """Tell whether a device with these ids is one of those that are meant."""
        if self.vendor_id is not None and self.vendor_id != ids.vendor_id:
            return False
        if self.device_id is not None and self.device_id != ids.device_id:
            return False
        if self.class_code is None:
            return True
        return (self.class_code ^ ids.class_code) & self.class_mask == 0
