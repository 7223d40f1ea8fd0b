"""What can reset a function: what it says itself, and what the system offers on top."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pymmio.errors import AccessError, ProtocolError
from pymmio.notebook import html_table
from pymmio.pci.caps import AdvancedFeatures, Capability, PciExpress, PowerManagement
from pymmio.pci.caps.walk import iter_capabilities
from pymmio.pci.header import ConfigRegion

__all__ = ["ResetKind", "ResetMethod", "ResetMethods", "SystemResets", "look_at_resets"]


class ResetKind(enum.StrEnum):
    """Ways to reset a function; the names are those of ``reset_method`` in Linux's sysfs.

    Source: Linux 6.12, pci_reset_fn_methods in drivers/pci/pci.c.
    """

    FLR = "flr"  #: function-level reset, PCI Express 5.0 §6.6.2
    AF_FLR = "af_flr"  #: the same for conventional PCI: advanced features capability
    PM = "pm"  #: to D3hot and back, PCI PM 1.2 §5.4.1
    DEVICE_SPECIFIC = "device_specific"  #: the kernel knows this device
    ACPI = "acpi"  #: firmware's _RST
    BUS = "bus"  #: its slot or bus, where nobody else is on it
    CXL_BUS = "cxl_bus"
    HOT = "hot"  #: its slot or bus with all who are there (VFIO_DEVICE_PCI_HOT_RESET)
    MODEL = "model"  #: a device model starts anew


@dataclass(frozen=True, slots=True)
class ResetMethod:
    """One way: whether it is there, why so, and which other functions it would reset as well."""

    kind: ResetKind
    is_available: bool
    says: str
    affects: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "kind": str(self.kind),
            "is_available": self.is_available,
            "says": self.says,
            "affects": list(self.affects),
        }

    def __str__(self) -> str:
        return f"{self.kind}: {'yes' if self.is_available else 'no'}, {self.says}"


@dataclass(frozen=True, slots=True)
class ResetMethods:
    """All that was looked at; iterating gives what is available, ``in`` takes a kind."""

    looked_at: tuple[ResetMethod, ...]

    def __iter__(self) -> Iterator[ResetMethod]:
        return (method for method in self.looked_at if method.is_available)

    def __len__(self) -> int:
        return sum(method.is_available for method in self.looked_at)

    def __contains__(self, kind: object) -> bool:
        return any(method.kind == kind for method in self)

    def as_dict(self) -> dict[str, object]:
        """Return everything, ready for JSON."""
        return {"reset_methods": [method.as_dict() for method in self.looked_at]}

    def __str__(self) -> str:
        head = "" if len(self) else "nothing resets this function\n"
        return head + "\n".join(map(str, self.looked_at))

    def why_none(self) -> str:
        """Return in one line what was looked at, for the message of an error."""
        return "; ".join(map(str, self.looked_at))

    def _repr_html_(self) -> str:
        rows = [
            (str(m.kind), "yes" if m.is_available else "no", m.says, ", ".join(m.affects) or "-")
            for m in self.looked_at
        ]
        title = "Reset methods" if len(self) else "Reset methods: nothing resets this function"
        return html_table(title, ("method", "there", "why", "affects"), rows, mono=("method",))


@dataclass(frozen=True, slots=True)
class SystemResets:
    """What the operating system says beyond the function's own configuration space.

    ``listed`` are the words of the kernel's ``reset_method``, None where it shows no such file.
    ``refusal`` is why the interface resets nothing at all by these, or None.  ``more`` are
    ways that are the interface's own.
    """

    listed: tuple[str, ...] | None
    refusal: str | None = None
    more: tuple[ResetMethod, ...] = ()


def look_at_resets(config: ConfigRegion, system: SystemResets | None = None) -> ResetMethods:
    """Return all ways to reset a function; reads only.

    Without ``system`` only the function's own words count.  Where the kernel lists its methods
    a way of the function counts only if it is among them: it leaves out what does not work
    on a device.
    """
    own = [_own(config, *way) for way in _OWN]
    if system is None:
        return ResetMethods(tuple(own))
    found = [_checked(method, system) for method in own]
    known = {method.kind for method in own}
    for word in system.listed or ():
        if word in set(ResetKind) - known:
            says = system.refusal or "the kernel lists it in reset_method"
            found.append(ResetMethod(ResetKind(word), system.refusal is None, says))
    return ResetMethods((*found, *system.more))


def _flr(capability: PciExpress) -> tuple[bool, str]:
    has = capability.has_flr
    return has, f"Device Capabilities {'has' if has else 'lacks'} function-level reset"


def _af_flr(capability: AdvancedFeatures) -> tuple[bool, str]:
    has = capability.has_flr
    return has, f"AF Capabilities {'has' if has else 'lacks'} function-level reset"


def _pm(capability: PowerManagement) -> tuple[bool, str]:
    # PCI PM 1.2 §3.2.4: with No_Soft_Reset the function keeps its state on the way to D0.
    if capability.control.no_soft_reset:
        return False, "No_Soft_Reset is set: state survives D3hot"
    return True, "D3hot to D0 resets it (No_Soft_Reset is clear)"


_OWN: tuple[tuple[ResetKind, type[Capability], Callable[..., tuple[bool, str]], str], ...] = (
    (ResetKind.FLR, PciExpress, _flr, "no PCI Express capability"),
    (ResetKind.AF_FLR, AdvancedFeatures, _af_flr, "no advanced features capability"),
    (ResetKind.PM, PowerManagement, _pm, "no power management capability"),
)


def _own(
    config: ConfigRegion,
    kind: ResetKind,
    family: type[Capability],
    ask: Callable[..., tuple[bool, str]],
    missing: str,
) -> ResetMethod:
    try:
        for capability in iter_capabilities(config):
            if isinstance(capability, family):
                return ResetMethod(kind, *ask(capability))
    except (ProtocolError, AccessError) as error:
        return ResetMethod(kind, False, f"not known: {error}")
    return ResetMethod(kind, False, missing)


def _checked(method: ResetMethod, system: SystemResets) -> ResetMethod:
    """Return what is left of a function's own word when the system was asked."""
    is_listed = system.listed is not None and method.kind in system.listed
    if not method.is_available:
        if is_listed and system.refusal is None:  # a quirk: the kernel knows better
            says = f"{method.says}, yet the kernel lists it in reset_method"
            return ResetMethod(method.kind, True, says)
        return method
    if system.refusal is not None:
        return ResetMethod(method.kind, False, f"{method.says}; {system.refusal}")
    if system.listed is not None and not is_listed:
        listed = " ".join(system.listed) or "nothing"
        says = f"{method.says}; the kernel does not use it (reset_method: {listed})"
        return ResetMethod(method.kind, False, says)
    return method
