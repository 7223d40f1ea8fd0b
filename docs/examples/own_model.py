"""A model of a device that counts its reads, and a look at it."""

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.testing import open_model


class Counter(DeviceModel):
    """Every read of BAR0 gives the number of reads before it."""

    vendor_id = 0x1AF4
    device_id = 0x10F0
    class_code = 0xFF0000
    bars = (BarSpec(index=0, size=4096),)

    def __init__(self) -> None:
        self.reads = 0

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        self.reads += 1
        return self.reads - 1

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        pass

    def reset(self) -> None:
        self.reads = 0


model = Counter()
with open_model(model) as device:
    bar = device.region(0)
    print([bar.read32(0) for _ in range(3)])
    print(model.reads, "reads seen by the model")
    device.reset()
    print(bar.read32(0))
