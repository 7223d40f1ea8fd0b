"""Shared-memory regions of virtio devices."""

from __future__ import annotations

import os

import pytest

from pymmio.errors import DeviceNotFound, ProtocolError, Unsupported
from pymmio.models.virtio.device import SharedMemory
from pymmio.models.virtio.shm import VirtioShmModel
from pymmio.testing import open_model
from pymmio_drivers.virtio_shm import VirtioSharedMemory


def test_regions_are_found_and_told_apart_by_id() -> None:
    model = VirtioShmModel(count=3, size="64K", first=1)
    with VirtioSharedMemory.open(open_model(model)) as device:
        assert [(one.id, one.size) for one in device.regions] == [(i, 1 << 16) for i in (1, 2, 3)]
        assert device.regions[1].where == "BAR2 at 0x10000"
        device.map(2).write_from(5, b"second")
        assert bytes(model.host.bar_memory(2)[0x10005:0x1000B]) == b"second"
        seen = bytearray(6)
        device.map(1).read_into(5, seen)
        assert seen == bytes(6)
        assert device.map(2) is device.map(2)
        assert device.map(2).is_cached
        with pytest.raises(DeviceNotFound, match="It has 1, 2, 3"):
            device.map(0)


def test_the_device_is_neither_reset_nor_started() -> None:
    model = VirtioShmModel()
    model._status = 15
    with VirtioSharedMemory.open(open_model(model)) as device:
        device.map(0)
        assert model._status == 15
    assert model._status == 15


def test_purposes_are_those_of_the_specification() -> None:
    for device_type, first, purpose in ((16, 1, "host visible"), (26, 0, "DAX window"), (9, 0, "")):
        model = VirtioShmModel(device_type=device_type, first=first)
        with VirtioSharedMemory.open(open_model(model)) as device:
            assert device.purpose(first) == purpose


def test_a_device_without_regions_has_none() -> None:
    with VirtioSharedMemory.open("sim:virtio-rng") as device:
        assert list(device.regions) == []
        with pytest.raises(DeviceNotFound, match="It has none"):
            device.map(0)


def test_other_devices_are_refused() -> None:
    with pytest.raises(Unsupported, match="no virtio device"):
        VirtioSharedMemory.open("sim:edu")


@pytest.mark.parametrize("region", [(0x1F000, 0x2000), (1 << 63, 1 << 63), (1 << 40, 4096)])
def test_a_region_outside_its_bar_is_listed_and_not_mapped(region: tuple[int, int]) -> None:
    from pymmio.models.virtio.device import _capabilities, _shared_capability

    model = VirtioShmModel()
    bad = SharedMemory(7, 2, *region)
    model.vendor_capabilities = [*_capabilities(), _shared_capability(bad)]
    with VirtioSharedMemory.open(open_model(model)) as device:
        assert [one.id for one in device.regions] == [7]
        with pytest.raises(ProtocolError, match="does not fit"):
            device.map(7)


def test_nothing_is_left_behind() -> None:
    before = len(os.listdir("/proc/self/fd"))
    device = VirtioSharedMemory.open("sim:virtio-shm?count=4&size=1M")
    for one in device.regions:
        device.map(one.id).zero(0, 4096)
    device.close()
    device.close()
    assert len(os.listdir("/proc/self/fd")) == before
