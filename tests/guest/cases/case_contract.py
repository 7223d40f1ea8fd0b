"""The contract of backends, through real vfio-pci, in every way of access that it has.

Each case asks the promises of one group, of one device.
"""

from __future__ import annotations

from pymmio.testing.contract import Group
from tests.contract.asking import keeps
from tests.contract.backends import VFIO
from tests.guest.case import case
from tests.guest.inside import EDU, NVME, bind_vfio, bound_to_vfio, find_functions, give_back
from tests.guest.interfaces import by_interface, interface, uri_of

_IDS = {"edu": EDU, "nvme": NVME, "nvme-cmb": NVME}
_OWN = [group.value for group in Group if group is not Group.SHARING]


def _keeps(device: str, group: str) -> None:
    with bound_to_vfio(_IDS[device]) as function:
        subject = VFIO.subject(device, uri_of(function.address))
        keeps(subject, VFIO.groups(device)[group], column=f"vfio-{interface()}")


def _groups(device: str) -> tuple[str, ...]:
    return tuple(group for group in VFIO.groups(device) if group in _OWN)


@by_interface(guests=("default",))
@case(timeout_s=180, seconds=5, params=_groups("edu"))
def case_edu(group: str) -> None:
    _keeps("edu", group)


@by_interface(guests=("virtio-iommu",))
@case(timeout_s=180, seconds=5, params=("dma", "interrupts", "reset"))
def case_edu_behind_a_virtio_iommu(group: str) -> None:
    _keeps("edu", group)


@by_interface(guests=("default",))
@case(timeout_s=180, seconds=5, params=_groups("nvme"))
def case_nvme(group: str) -> None:
    _keeps("nvme", group)


@by_interface(guests=("rules",))
@case(timeout_s=180, seconds=5, params=("regions", "rules", "concurrency", "life cycle"))
def case_memory_of_a_device(group: str) -> None:
    _keeps("nvme-cmb", group)


@by_interface(guests=("shared",))
@case(timeout_s=180, seconds=5)
def case_sharing() -> None:
    functions = find_functions(EDU)
    try:
        for function in functions:
            bind_vfio(function)
        uri, other = (uri_of(function.address) for function in functions)
        subject = VFIO.subject("edu", uri, other)
        keeps(subject, VFIO.groups("edu")["sharing"], column=f"vfio-{interface()}")
    finally:
        for function in functions:
            give_back(function)
