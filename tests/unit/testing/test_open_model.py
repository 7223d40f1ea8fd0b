from __future__ import annotations

import pytest

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.errors import Closed, DeclarationError
from pymmio.testing import open_model
from pymmio.trace import RingSink


class Latch(DeviceModel):
    """Keeps the last value that was written."""

    vendor_id = 0x1AF4
    device_id = 0x10F0
    class_code = 0xFF0000
    bars = (BarSpec(index=0, size=4096),)

    def __init__(self) -> None:
        self.value = 0
        self.is_closed = False

    def bar_read(self, bar, offset, width):
        return self.value

    def bar_write(self, bar, offset, width, value):
        self.value = value

    def reset(self):
        self.value = 0

    def close(self):
        self.is_closed = True


def test_the_device_is_the_model_that_was_given():
    model = Latch()
    with open_model(model) as device:
        device.region(0).write32(0, 7)
        assert model.value == 7
        assert device.config.device_id == 0x10F0
        assert str(device.uri) == "sim:latch"
    assert model.is_closed
    with pytest.raises(Closed):
        device.region(0)


def test_accesses_are_traced_when_asked():
    sink = RingSink()
    with open_model(Latch(), trace=sink) as device:
        sink.events.clear()
        device.region(0).read32(4)
        assert [(e.kind, e.offset) for e in sink.events] == [("read", 4)]


def test_a_model_that_cannot_be_opened_is_closed():
    model = Latch()
    model.bars = (BarSpec(index=0, size=5),)
    with pytest.raises(DeclarationError):
        open_model(model)
    assert model.is_closed
