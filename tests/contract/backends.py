"""The backends that the contract is asked of, their devices, and what they cannot promise.

Imported in guests too, so it imports nothing that is slow to load there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pymmio.device import Device
from pymmio.testing.contract import Ability, Check, Lack, Subject, checks

__all__ = ["BACKENDS", "Backend"]

Lacks = Mapping[str, str | Lack]


@dataclass(frozen=True)
class Backend:
    """A column of the matrix: a backend, or an interface of one, and where it is asked.

    ``devices`` has, for each kind of device, what the backend cannot promise with it.
    """

    name: str
    title: str
    where: str
    devices: Mapping[str, Lacks]
    has_other: bool = False
    remove: Callable[[Device], None] | None = None
    patience: float = 1.0

    def checks(self, device: str) -> list[Check]:
        """Return the checks that are asked of a device."""
        found = checks(device)
        if not self.has_other:
            found = [one for one in found if Ability.SHARING not in one.needs]
        if self.remove is None:
            found = [one for one in found if Ability.REMOVAL not in one.needs]
        return found

    def groups(self, device: str) -> dict[str, list[Check]]:
        """Return these checks by group."""
        found: dict[str, list[Check]] = {}
        for one in self.checks(device):
            found.setdefault(one.group.value, []).append(one)
        return found

    def subject(self, device: str, uri: str, other: str | None = None) -> Subject:
        """Return the subject for a device that is there."""
        return Subject(
            uri,
            device,
            lacks=self.devices[device],
            other=other,
            remove=self.remove,
            patience=self.patience,
        )


def _unplug(device: Device) -> None:
    device.handle.slot.unplug()  # type: ignore[attr-defined]


SIM = Backend(
    "sim",
    "``sim:``",
    "host",
    {"edu": {}, "nvme": {}, "access-recorder": {}},
    has_other=True,
    remove=_unplug,
)

_EDU_HAS_NO_RESET = "QEMU's edu offers no reset of the function"
VFIO_DEVICES: dict[str, dict[str, str | Lack]] = {
    "edu": {Ability.RESET: _EDU_HAS_NO_RESET},
    "nvme": {},
    "nvme-cmb": {},
}
VFIO = Backend("vfio", "``vfio:``", "guest", VFIO_DEVICES, has_other=True, patience=3.0)

NO_IOMMU = Backend(
    "vfio-noiommu",
    "``vfio:`` without an IOMMU",
    "guest",
    {"edu": VFIO_DEVICES["edu"] | {Ability.ISOLATION: "the device reaches all memory"}},
    has_other=True,
    patience=3.0,
)

VFIO_S390X = Backend(
    "vfio-s390x", "``vfio:`` on s390x", "s390x guest", {"nvme-cmb": {}}, patience=10.0
)

BACKENDS = {backend.name: backend for backend in (SIM, VFIO, NO_IOMMU)}
