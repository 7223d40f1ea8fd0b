"""What bind, unbind and restore return."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.backend.vfio.bind.steps import Step
from pymmio.errors import PymmioError
from pymmio.pci.address import PciAddress

__all__ = ["BindResult", "Change"]


@dataclass(frozen=True, slots=True)
class Change:
    """One device: the driver that it had, the one that it has (or would have)."""

    address: PciAddress
    former: str | None
    driver: str | None
    steps: tuple[Step, ...] = ()
    error: PymmioError | None = None  #: why it was not done; of restore_all only

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "address": str(self.address),
            "former_driver": self.former,
            "driver": self.driver,
            "steps": [step.as_dict() for step in self.steps],
            "error": None if self.error is None else str(self.error),
        }

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.address}: {self.error}"
        now, former = self.driver or "no driver", self.former or "no driver"
        if self.former == self.driver:
            return f"{self.address}: {now}" + ("" if self.steps else ", as before")
        return f"{self.address}: {former} -> {now}"


@dataclass(frozen=True, slots=True)
class BindResult:
    """What was done, or with ``dry_run`` would have been done.

    ``group`` is the IOMMU group of the device that was asked for.  ``remarks`` are for the
    person who asked: what could not be looked at, what stays to be done.
    """

    address: PciAddress
    group: int | None
    changes: tuple[Change, ...]
    dry_run: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps of all changes in their order."""
        return tuple(step for change in self.changes for step in change.steps)

    @property
    def node(self) -> str | None:
        """Return the device node that VFIO has for the group, None without a group."""
        return None if self.group is None else f"/dev/vfio/{self.group}"

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "address": str(self.address),
            "iommu_group": self.group,
            "node": self.node,
            "dry_run": self.dry_run,
            "changes": [change.as_dict() for change in self.changes],
            "remarks": list(self.remarks),
        }
