"""Device-specific configuration: one access a field, values of one generation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pymmio.errors import DeviceTimeout, OutOfBounds
from pymmio.testing import open_model
from pymmio.virtio import VirtioDevice
from tests.unit.virtio.echo import EchoModel

BAR, CONFIG = 4, 0x2000


class Watched(EchoModel):
    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        if bar == BAR and CONFIG <= offset < CONFIG + 0x100:
            self.reads.append((offset - CONFIG, width))
        return super().bar_read(bar, offset, width)


@pytest.fixture
def model() -> Watched:
    return Watched()


@pytest.fixture
def device(model: Watched) -> Iterator[VirtioDevice]:
    with VirtioDevice.open(open_model(model)) as opened:
        yield opened


def test_a_field_is_one_access_of_its_width(device: VirtioDevice, model: Watched) -> None:
    config = device.config
    assert (config.read8(3), config.read16(4), config.read32(8)) == (3, 0x0504, 0x0B0A0908)
    assert config.read64(16) == 0x1716151413121110
    assert model.reads == [(3, 1), (4, 2), (8, 4), (16, 4), (20, 4)]
    config.write8(0, 0xAA)
    config.write16(2, 0xBBCC)
    config.write32(4, 0x11223344)
    assert model.written == [(0, 1, 0xAA), (2, 2, 0xBBCC), (4, 4, 0x11223344)]


@pytest.mark.parametrize("changes", [1, 2, 3, 7])
def test_a_value_that_changes_meanwhile_is_read_again(
    device: VirtioDevice, model: Watched, changes: int
) -> None:
    model.changes_during_reads = changes
    value = device.config.read64(0)
    assert value == int.from_bytes(model.config[:8], "little")
    assert len(model.reads) > 2
    assert model.changes_during_reads == 0


def test_values_that_belong_together_are_of_one_generation(
    device: VirtioDevice, model: Watched
) -> None:
    model.changes_during_reads = 2
    seen = device.config.consistent(lambda: (device.config.read8(0), device.config.read8(1)))
    assert seen == (model.config[0], model.config[1])


def test_a_configuration_that_never_stands_still(device: VirtioDevice, model: Watched) -> None:
    model.changes_during_reads = 1 << 30
    with pytest.raises(DeviceTimeout, match="changed during each of 1000 reads"):
        device.config.read64(0)
    assert len(model.reads) == 2000


def test_nested_reads_that_never_agree_end_too(device: VirtioDevice, model: Watched) -> None:
    model.changes_during_reads = 1 << 30
    config = device.config
    with pytest.raises(DeviceTimeout):
        config.consistent(lambda: (config.read64(0), config.read64(8)))
    assert len(model.reads) == 2000


@pytest.mark.parametrize("offset", [0xFD, 0x100, 1 << 31])
def test_outside_is_refused(device: VirtioDevice, model: Watched, offset: int) -> None:
    with pytest.raises(OutOfBounds):
        device.config.read32(offset + -offset % 4)
    assert not [read for read in model.reads if read[0] + read[1] > 0x100]
