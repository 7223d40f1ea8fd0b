"""Both lists of capabilities as far as they can be read, and where they are damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pymmio.errors import ProtocolError
from pymmio.notebook import html_note
from pymmio.pci.capability_list import CapabilityList, capabilities_html
from pymmio.pci.caps import Capability, iter_capabilities
from pymmio.pci.extcaps import ExtendedCapability, iter_extended_capabilities
from pymmio.pci.header import ConfigRegion
from pymmio.pci.view import CapabilityView

__all__ = ["CapabilitySurvey", "survey_capabilities"]

C = TypeVar("C", bound=CapabilityView)


@dataclass(frozen=True, slots=True)
class CapabilitySurvey:
    """What both lists hold; ``damage`` says where one of them could not be followed."""

    capabilities: CapabilityList[Capability]
    extended: CapabilityList[ExtendedCapability]
    damage: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return everything, ready for JSON; reads the device."""
        return {
            "capabilities": [one.as_dict() for one in self.capabilities],
            "extended_capabilities": [one.as_dict() for one in self.extended],
            "damage": list(self.damage),
        }

    def _repr_html_(self) -> str:
        return (
            capabilities_html(self.capabilities, "Capabilities")
            + capabilities_html(self.extended, "Extended capabilities")
            + "".join(map(html_note, self.damage))
        )


def survey_capabilities(config: ConfigRegion) -> CapabilitySurvey:
    """Walk both lists; where one is damaged keep what stands before, and go on."""
    damage: list[str] = []
    first = _as_far_as_it_goes(iter_capabilities(config), damage)
    extended = _as_far_as_it_goes(iter_extended_capabilities(config), damage)
    return CapabilitySurvey(first, extended, tuple(damage))


def _as_far_as_it_goes(capabilities: Iterator[C], damage: list[str]) -> CapabilityList[C]:
    found: list[C] = []
    try:
        found.extend(capabilities)  # keeps what came before an error
    except ProtocolError as error:
        damage.append(str(error))
    return CapabilityList(found)
