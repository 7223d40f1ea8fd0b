"""Which way a device's regions are reached, by the region, the machine and access=."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

import pymmio.device_regions
from pymmio.arch.s390x import ARCH as S390X
from pymmio.arch.x86_64 import ARCH as X86_64
from pymmio.backend.sim import SimHandle
from pymmio.device import Device
from pymmio.errors import Unsupported
from pymmio.handle import Access, RegionInfo
from pymmio.mmio import AccessRule
from pymmio.uri import DeviceUri
from tests.unit.backend.sim.rig import Rig

MEMORY = 2  # the BAR of the rig that can be mapped
MIO, SYSCALL, MAPPED = Access.MIO, Access.SYSCALL, Access.MAPPED


class Handle(SimHandle):
    """A device whose BAR2 is what the test says."""

    changes: dict[str, bool]

    def region_infos(self) -> Sequence[RegionInfo]:
        return [
            replace(info, **self.changes) if info.index == MEMORY else info  # type: ignore[arg-type]
            for info in super().region_infos()
        ]


def make(access: Access = Access.AUTO, **changes: bool) -> Device:
    handle = Handle(Rig(), "sim:rig")
    handle.changes = changes
    return Device(DeviceUri("sim", "rig"), handle, access=access)


@pytest.fixture(params=["x86_64", "s390x", "s390x with instructions"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the device believe that it runs on another machine."""
    ways = {
        "x86_64": (MAPPED,),
        "s390x": (SYSCALL,),
        "s390x with instructions": (MIO, SYSCALL),
    }
    name: str = request.param
    arch = X86_64 if name == "x86_64" else S390X
    monkeypatch.setattr(pymmio.device_regions, "pci_ways", lambda: ways[name])
    monkeypatch.setattr(pymmio.device_regions, "current", lambda: arch)
    return name


def test_pci_memory_is_reached_the_best_way_of_the_machine(machine: str) -> None:
    best = {"x86_64": MAPPED, "s390x": SYSCALL, "s390x with instructions": MIO}[machine]
    with make(is_ram=False) as device:
        assert device.region(MEMORY).access is best


def test_plain_memory_is_reached_by_loads_everywhere(machine: str) -> None:
    with make(is_ram=True) as device:
        assert device.region(MEMORY).access is MAPPED
        device.region(MEMORY).view().release()


def test_memory_of_another_bus_never_meets_instructions_for_pci(machine: str) -> None:
    with make(is_ram=False, is_pci=False) as device:
        wanted = MAPPED if machine == "x86_64" else Access.PREAD
        assert device.region(MEMORY).access is wanted


@pytest.mark.parametrize("way", [MAPPED, MIO, SYSCALL])
def test_a_way_that_is_asked_for_is_that_way_or_an_error(machine: str, way: Access) -> None:
    offered = {
        "x86_64": {MAPPED},
        "s390x": {SYSCALL},
        "s390x with instructions": {MIO, SYSCALL},
    }[machine]
    with make(way, is_ram=False) as device:
        if way in offered:
            assert device.region(MEMORY).access is way
            return
        with pytest.raises(Unsupported, match=f"cannot be reached by access='{way}'") as raised:
            device.region(MEMORY)
        for there in offered:
            assert str(there) in str(raised.value.hint)


@pytest.mark.parametrize("way", [MIO, SYSCALL])
@pytest.mark.parametrize(
    ("changes", "why"),
    [({"is_ram": False, "is_pci": False}, "it is not PCI memory"), ({}, "it is plain memory")],
)
def test_asking_for_pci_instructions_elsewhere_says_why_not(
    machine: str, way: Access, changes: dict[str, bool], why: str
) -> None:
    with make(way, **changes) as device, pytest.raises(Unsupported) as raised:
        device.region(MEMORY)
    assert ("which is for s390x" if machine == "x86_64" else why) in str(raised.value)


def test_pci_memory_of_s390x_is_no_plain_bytes_whatever_the_rule_says(machine: str) -> None:
    with make(is_ram=False) as device:
        region = device.region(MEMORY, rule=AccessRule(ram_like=True))
        if machine == "x86_64":
            region.view().release()
            return
        with pytest.raises(Unsupported, match="plain loads and stores do not reach on s390x"):
            region.view()


def test_pread_reaches_it_everywhere(machine: str) -> None:
    with make(Access.PREAD, is_ram=False) as device:
        assert device.region(MEMORY).access is Access.PREAD
