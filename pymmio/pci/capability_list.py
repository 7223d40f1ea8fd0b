"""A list of capabilities that shows well."""

from __future__ import annotations

from typing import TypeVar

from pymmio.notebook import html_table
from pymmio.pci.view import CapabilityView

__all__ = ["CapabilityList", "capabilities_html"]

C = TypeVar("C", bound=CapabilityView)


class CapabilityList(tuple[C, ...]):
    """A tuple of capabilities, in the order of their list."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "no capabilities"

    def _repr_html_(self) -> str:
        return capabilities_html(self, "Capabilities")


def capabilities_html(capabilities: tuple[CapabilityView, ...], title: str) -> str:
    """Return a table with what each capability says; reads the device."""
    digits = 3 if any(capability.offset > 0xFF for capability in capabilities) else 2
    rows = [(f"{c.offset:0{digits}x}", f"{c.id:02x}", c.name, c.said()) for c in capabilities]
    return html_table(
        title if rows else f"{title}: none", ("at", "id", "name", "says"), rows, mono=("at", "id")
    )
