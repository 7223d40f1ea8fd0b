"""Make mistakes and misfortunes happen, and print what pymmio says about them."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pymmio
from pymmio import AccessRule, Region
from pymmio.dma import DmaSpace
from pymmio.dma.budget import Budget
from pymmio.dumping import dump_region
from pymmio.errors import PymmioError
from pymmio.pci import Command, ConfigSpace
from pymmio.policy import AllowFile
from pymmio.regs import RO, W1C, WO, Field, Reg, Register, RegisterFile
from pymmio.testing import mapped_region
from pymmio.testing.fakes import FakeDma


def says(action: Callable[[], object]) -> None:
    """Print the exception that ``action`` raises."""
    try:
        action()
    except PymmioError as error:
        print(f"{type(error).__name__}: {error}")
    else:
        raise AssertionError("nothing was raised")


class STATUS(Register, offset=0x08, width=32):
    """A register with all that makes trouble."""

    ready = Field(bit=0, access=RO)
    level = Field(bits=(4, 7))
    error = Field(bit=16, access=W1C)


class START(Register, offset=0x0C, width=32, access=WO):
    """Starts something."""


class ID(Register, offset=0x10, width=32, access=RO, all_ones_means_gone=True):
    """What the device is."""


class Registers(RegisterFile):
    """BAR 0."""

    status = Reg(STATUS)
    start = Reg(START)
    id = Reg(ID)


def opening() -> None:
    says(lambda: pymmio.open_device("edu"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with pymmio.open_device("sim:nvme?file=disk.img&size=1M"):
            says(lambda: pymmio.open_device("sim:nvme?file=disk.img"))
        with open("allowed", "w") as allowed:
            allowed.write("vfio:0000:01:00.0\n")
        pymmio.set_policy(AllowFile(Path("allowed")))
        says(lambda: pymmio.open_device("sim:edu"))
        pymmio.set_policy(None)
        os.chdir("/")


def life(device: pymmio.Device) -> None:
    says(lambda: device.region(5))
    says(lambda: device.irqs.msi[0].wait(timeout_s=0.01))
    says(lambda: device.irqs.msix[0])
    says(lambda: dump_region(device, 0, 4))
    sys.stdout.flush()
    if os.fork() == 0:  # the child has a copy of the program, not of the device
        says(lambda: device.region(0))
        sys.stdout.flush()
        os._exit(0)
    os.wait()
    device.config.update_command(off=Command.MEMORY)
    says(lambda: device.region(0).read32(0))
    device.config.update_command(on=Command.MEMORY)
    device.handle.slot.unplug()
    says(device.check_present)
    device.close()
    says(lambda: device.region(0))


def accesses(bar: Region) -> None:
    says(lambda: bar.read32(0x1000))
    says(lambda: bar.read32(0x02))
    says(lambda: bar.write16(0x00, 0x1_0000))
    says(lambda: bar.wait32(0x00, mask=1, value=1, timeout_s=0.01))
    narrow = mapped_region(0x1000, rule=AccessRule(device_widths=frozenset({4})))
    says(lambda: narrow.read64(0x00))


def registers(regs: Registers) -> None:
    def overlap() -> None:
        class CONTROL(Register, offset=0x04, width=32):
            ready = Field(bit=0)
            level = Field(bits=(0, 3))

    says(overlap)
    says(lambda: regs.status.write(level=16))
    says(lambda: regs.status.update(level=1))
    says(lambda: regs.status.write(ready=1))
    says(regs.start.read)


def memory() -> None:
    device = FakeDma(max_mappings=2)
    with DmaSpace(device, budget=Budget(limit_bytes=1 << 20)) as space:
        says(lambda: space.alloc(0))
        says(lambda: space.alloc(1 << 21))
        says(lambda: space.alloc(8192, address_bits=12))
        with space.alloc(4096) as buffer, space.alloc(4096):
            says(lambda: space.alloc(4096))
            buffer.hold()
            says(buffer.close)
            buffer.release()
            says(buffer.release)
        says(lambda: device.device_read(0x1000, 4))


if __name__ == "__main__":
    opening()
    life(pymmio.open_device("sim:edu"))
    accesses(mapped_region(0x1000, name="BAR0"))
    registers(Registers(mapped_region(0x1000, name="BAR0")))
    memory()
    says(lambda: ConfigSpace(mapped_region(64)))
