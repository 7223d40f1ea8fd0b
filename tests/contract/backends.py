"""The backends that the contract is asked of, their devices, and what they cannot promise.

Imported in guests too, so it imports nothing that is slow to load there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pymmio.device import Device
from pymmio.testing.contract import Ability, Check, Lack, Subject, checks

__all__ = [
    "BACKENDS",
    "NO_IOMMU",
    "QEMU",
    "QEMU_PC",
    "SIM",
    "SYSFS",
    "VFIO",
    "VFIO_S390X",
    "VFIO_USER",
    "Backend",
]

Lacks = Mapping[str, str | Lack]


@dataclass(frozen=True, eq=False)
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


def _not_here(device: Device) -> None:
    raise NotImplementedError("the test that has the server does it")


VFIO_USER = Backend(
    "vfio-user",
    "``vfio-user:``, own server",
    "host, two processes",
    {"edu": {}, "nvme": {}, "access-recorder": {}},
    remove=_not_here,
)


def _kill(device: Device) -> None:
    process = device.handle.process  # type: ignore[attr-defined]
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(10)


_EDU_KEEPS = "QEMU's edu does nothing at a reset"
QEMU = Backend(
    "qemu",
    "``qemu:``",
    "host, a QEMU process",
    {"edu": {"reset_gives_a_new_device": _EDU_KEEPS}, "nvme": {}, "nvme-cmb": {}},
    remove=_kill,
)
QEMU_PC = Backend(
    "qemu-pc",
    "``qemu:`` ``machine=pc``",
    "host, a QEMU process",
    {
        "edu": {
            "reset_gives_a_new_device": _EDU_KEEPS,
            "memory_that_was_closed_is_out_of_reach": (
                "machine=pc has no IOMMU: the device reaches all RAM"
            ),
        }
    },
    remove=_kill,
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
    {
        "edu": {
            **VFIO_DEVICES["edu"],
            Ability.ISOLATION: Lack("the device reaches all memory", sometimes=True),
            "memory_is_the_same_by_each_way": "a file of huge pages cannot be written by pwrite",
            "many_mappings_leave_nothing": "each buffer takes a huge page, of which there are few",
            **dict.fromkeys(
                (
                    "a_mapping_can_be_made_and_taken_away",
                    "mappings_are_whole_pages_of_usable_addresses",
                    "mappings_do_not_overlap",
                    "what_is_not_mapped_cannot_be_taken_away",
                    "what_was_asked_of_addresses_is_kept",
                ),
                "memory is not mapped: it is huge pages that lie where they lie",
            ),
        }
    },
    patience=3.0,
)

_ZPCI_ERROR = "zPCI takes a function away that made a bad access; it comes back when it is closed"
_NO_DMA = "there is no DMA by sysfs"
_NO_INTERRUPTS = "there are no interrupts by sysfs"
_SYSFS: Lacks = {
    Ability.DMA: Lack(_NO_DMA, untried=True),  # what fails half-way keeps the device open
    Ability.ISOLATION: Lack(_NO_DMA, untried=True),
    **{
        ability: Lack(_NO_INTERRUPTS, untried=True)
        for ability in (Ability.INTERRUPTS, Ability.INTX, Ability.MESSAGES, Ability.VECTORS)
    },
    Ability.FAULTS: Lack("a device that does not answer reads as zeros or ones", sometimes=True),
    "decoding_is_on_and_bus_mastering_is_off": _NO_DMA,
    "the_device_can_be_opened_again_and_again": _NO_DMA,
    "reset_leaves_decoding_on_and_mastering_off": _NO_DMA,
}
SYSFS = Backend(
    "sysfs",
    "``sysfs:``",
    "guest",
    {
        "edu": {**_SYSFS, Ability.RESET: Lack(_EDU_HAS_NO_RESET, sometimes=True)},
        "nvme": {
            **_SYSFS,
            "polling_sees_the_device_finish": _NO_DMA,
            "reset_gives_a_new_device": _NO_DMA,
        },
    },
    patience=3.0,
)

VFIO_S390X = Backend(
    "vfio-s390x",
    "``vfio:`` on s390x",
    "s390x guest",
    {
        "nvme-cmb": {
            Ability.ISOLATION: Lack(_ZPCI_ERROR, sometimes=True),
            Ability.INTX: Lack("functions of zPCI have no interrupt pin", sometimes=True),
        }
    },
    patience=10.0,
)

BACKENDS = {
    backend.name: backend
    for backend in (
        SIM,
        VFIO_USER,
        QEMU,
        QEMU_PC,
        VFIO,
        NO_IOMMU,
        VFIO_S390X,
        SYSFS,
    )
}
