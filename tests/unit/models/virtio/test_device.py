"""Registers of the virtio models, as literals of the specification (virtio 1.2 §4.1.4)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pymmio.device import Device
from pymmio.models.virtio.pmem import VirtioPmemModel
from pymmio.models.virtio.rng import VirtioRngModel
from pymmio.models.virtio.shm import VirtioShmModel
from pymmio.testing import open_model
from tests.unit.virtio.echo import EchoModel

# struct virtio_pci_common_cfg (§4.1.4.3)
DEVICE_FEATURE_SELECT, DEVICE_FEATURE = 0x00, 0x04
DRIVER_FEATURE_SELECT, DRIVER_FEATURE = 0x08, 0x0C
CONFIG_MSIX_VECTOR, NUM_QUEUES, DEVICE_STATUS, CONFIG_GENERATION = 0x10, 0x12, 0x14, 0x15
QUEUE_SELECT, QUEUE_SIZE, QUEUE_MSIX_VECTOR, QUEUE_ENABLE, QUEUE_NOTIFY_OFF = (
    0x16,
    0x18,
    0x1A,
    0x1C,
    0x1E,
)
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 0x20, 0x28, 0x30
ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET = 1, 2, 4, 8, 64  # §2.1
COMMON, CONFIG = 0x0000, 0x2000  # where the models have them in BAR 4


@pytest.fixture
def model() -> EchoModel:
    return EchoModel()


@pytest.fixture
def device(model: EchoModel) -> Iterator[Device]:
    with open_model(model) as opened:
        yield opened


@pytest.mark.parametrize(
    ("model", "device_id"),
    [(VirtioPmemModel(size=4096), 0x105B), (VirtioRngModel(), 0x1044), (VirtioShmModel(), 0x1050)],
    ids=["pmem", "rng", "gpu"],
)
def test_identity(model, device_id: int) -> None:  # §4.1.2: 0x1040 + type; revision 1 or higher
    with open_model(model) as device:
        assert (device.config.vendor_id, device.config.device_id) == (0x1AF4, device_id)
        assert device.config.read8(0x08) >= 1


def test_features_in_two_halves(device: Device, model: EchoModel) -> None:
    region = device.region(4)
    halves = []
    for half in (0, 1, 2):
        region.write32(DEVICE_FEATURE_SELECT, half)
        halves.append(region.read32(DEVICE_FEATURE))
    assert halves == [1 << 28 | 1 << 29, 1 << 0 | 1 << 1 | 1 << 2 | 1 << 4, 0]  # bits 32-34, 36
    for half, value in ((0, 0x1234_5678), (1, 0x9ABC_DEF0), (2, 0xFFFF_FFFF)):
        region.write32(DRIVER_FEATURE_SELECT, half)
        region.write32(DRIVER_FEATURE, value)
    assert model.features == 0x9ABC_DEF0_1234_5678


def test_status_and_reset(device: Device) -> None:
    region = device.region(4)
    assert region.read8(DEVICE_STATUS) == 0
    for status in (ACKNOWLEDGE, ACKNOWLEDGE | DRIVER):
        region.write8(DEVICE_STATUS, status)
        assert region.read8(DEVICE_STATUS) == status
    region.write8(DEVICE_STATUS, 11)  # without VERSION_1
    assert region.read8(DEVICE_STATUS) == ACKNOWLEDGE | DRIVER
    region.write32(DRIVER_FEATURE_SELECT, 1)
    region.write32(DRIVER_FEATURE, 1)
    region.write8(DEVICE_STATUS, 11)
    assert region.read8(DEVICE_STATUS) == ACKNOWLEDGE | DRIVER | FEATURES_OK
    region.write8(DEVICE_STATUS, 0)
    assert region.read8(DEVICE_STATUS) == 0
    assert region.read32(DRIVER_FEATURE) == 0


def test_features_that_were_not_offered_are_refused(device: Device) -> None:
    region = device.region(4)
    region.write32(DRIVER_FEATURE, 1 << 27)
    region.write32(DRIVER_FEATURE_SELECT, 1)
    region.write32(DRIVER_FEATURE, 1)
    region.write8(DEVICE_STATUS, 11)
    assert not region.read8(DEVICE_STATUS) & FEATURES_OK


def test_queues_are_selected(device: Device) -> None:
    region = device.region(4)
    assert region.read16(NUM_QUEUES) == 2
    seen = []
    for queue in (0, 1, 2, 0xFFFF):
        region.write16(QUEUE_SELECT, queue)
        seen.append((region.read16(QUEUE_SIZE), region.read16(QUEUE_ENABLE)))
    assert seen == [(16, 0), (4, 0), (0, 0), (0, 0)]
    region.write16(QUEUE_SELECT, 1)
    assert region.read16(QUEUE_NOTIFY_OFF) == 1
    for offset, value in ((QUEUE_DESC, 0x1000), (QUEUE_DRIVER, 0x2000), (QUEUE_DEVICE, 0x3000)):
        region.write32(offset, value)
        region.write32(offset + 4, 7)
        assert region.read32(offset) == value
        assert region.read32(offset + 4) == 7
    region.write16(QUEUE_SIZE, 8)  # more than it has
    assert region.read16(QUEUE_SIZE) == 4
    region.write16(QUEUE_SIZE, 2)
    region.write16(QUEUE_ENABLE, 1)
    assert (region.read16(QUEUE_SIZE), region.read16(QUEUE_ENABLE)) == (2, 1)
    region.write16(QUEUE_SELECT, 0)
    assert region.read32(QUEUE_DESC) == 0


@pytest.mark.parametrize("register", [CONFIG_MSIX_VECTOR, QUEUE_MSIX_VECTOR])
def test_vectors_that_there_are_not_read_back_as_none(device: Device, register: int) -> None:
    region = device.region(4)
    assert region.read16(register) == 0xFFFF  # VIRTIO_MSI_NO_VECTOR
    region.write16(register, 2)
    assert region.read16(register) == 2
    region.write16(register, 3)
    assert region.read16(register) == 0xFFFF


def test_the_generation_changes_with_the_configuration(device: Device, model: EchoModel) -> None:
    region = device.region(4)
    before = region.read8(CONFIG_GENERATION)
    model.config_changed()
    assert region.read8(CONFIG_GENERATION) == before + 1
    for _ in range(256):
        model.config_changed()
    assert region.read8(CONFIG_GENERATION) == before + 1  # 8 bits


def test_a_ring_that_breaks_the_rules_needs_a_reset(device: Device, model: EchoModel) -> None:
    region = device.region(4)
    region.write32(DRIVER_FEATURE_SELECT, 1)
    region.write32(DRIVER_FEATURE, 1)
    region.write8(DEVICE_STATUS, 11)
    region.write32(QUEUE_DESC, 0xDEAD_0000)  # mapped nowhere
    region.write16(QUEUE_ENABLE, 1)
    region.write8(DEVICE_STATUS, 15)
    region.write16(0x3000, 0)
    assert region.read8(DEVICE_STATUS) == 15 | NEEDS_RESET
    region.write8(DEVICE_STATUS, 15)  # does not go away by itself
    assert region.read8(DEVICE_STATUS) & NEEDS_RESET
    region.write16(0x3000, 0)
    region.write8(DEVICE_STATUS, 0)
    assert region.read8(DEVICE_STATUS) == 0


def test_pmem_says_where_its_memory_is() -> None:  # struct virtio_pmem_config: le64 start, size
    with open_model(VirtioPmemModel(size=8192, shmem=False, start=0x1_2345_6000)) as device:
        region = device.region(4)
        words = [region.read32(CONFIG + at) for at in (0, 4, 8, 12)]
        assert words == [0x2345_6000, 1, 8192, 0]
        region.write32(DEVICE_FEATURE_SELECT, 0)
        assert not region.read32(DEVICE_FEATURE) & 1  # VIRTIO_PMEM_F_SHMEM_REGION
    with open_model(VirtioPmemModel(size=8192)) as device:
        region = device.region(4)
        assert [region.read32(CONFIG + at) for at in (0, 4, 8, 12)] == [0, 0, 0, 0]
        assert region.read32(DEVICE_FEATURE) & 1
        assert device.region(2).size == 8192
