from __future__ import annotations

import errno
import struct

import pytest

from pymmio.errors import (
    Closed,
    DeviceBusy,
    DeviceGone,
    ForkedObject,
    ProtocolError,
    Unsupported,
)
from pymmio.handle import DeviceHandle, DmaHandle, IrqHandle, IrqKind, RegionHandle
from tests.unit.backend.vfio.fake_kernel import ADDRESS, FakeKernel
from tests.unit.backend.vfio.helpers import open_fake


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def test_the_protocols_are_met(kernel: FakeKernel) -> None:
    device: DeviceHandle = open_fake(kernel)  # mypy checks the four Protocols here
    region: RegionHandle = device.open_region(0)
    dma: DmaHandle = device.dma
    irq: IrqHandle = device.irq
    assert device.name == ADDRESS
    assert region.info == device.region_infos()[0]
    assert dma.pins_memory
    assert irq.count(IrqKind.INTX) == 1


def test_a_region_that_does_not_exist(kernel: FakeKernel) -> None:
    with pytest.raises(Unsupported, match=r"no region 4.*0 \(BAR0\), 2 \(BAR2\), 7 \(config\)"):
        open_fake(kernel).open_region(4)


def test_something_else_than_pci_is_refused(kernel: FakeKernel) -> None:
    kernel.device_flags = 1 << 4  # CCW
    with pytest.raises(Unsupported, match="no PCI device"):
        open_fake(kernel)
    assert kernel.open_fds == {}


def test_an_absurd_number_of_regions_is_refused(kernel: FakeKernel) -> None:
    kernel.region_count = 0xFFFF_FFFF
    with pytest.raises(ProtocolError, match="4294967295 regions"):
        open_fake(kernel)
    assert kernel.open_fds == {}


def test_no_configuration_space_is_refused(kernel: FakeKernel) -> None:
    del kernel.regions[7]
    with pytest.raises(ProtocolError, match="configuration space"):
        open_fake(kernel)
    assert kernel.open_fds == {}


def test_reset(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    device.reset()
    assert kernel.log[-1] == "DEVICE_RESET"


def test_reset_that_vfio_does_not_offer_is_not_tried(kernel: FakeKernel) -> None:
    kernel.device_flags = 0b10
    device = open_fake(kernel)
    kernel.log.clear()
    with pytest.raises(Unsupported, match=r"cannot be reset.*function level reset"):
        device.reset()
    assert "DEVICE_RESET" not in kernel.log
    assert kernel.hot_resets == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EINVAL, Unsupported),
        (errno.ENOTTY, Unsupported),
        (errno.EAGAIN, DeviceBusy),
        (errno.ENODEV, DeviceGone),
    ],
)
def test_reset_that_fails(kernel: FakeKernel, number: int, expected: type[Exception]) -> None:
    kernel.errors["DEVICE_RESET"] = number
    with pytest.raises(expected, match=ADDRESS):
        open_fake(kernel).reset()


def test_a_forked_child_refuses_and_makes_no_system_call(kernel: FakeKernel) -> None:
    device = open_fake(kernel)
    region = device.open_region(0)
    device.irq.enable(IrqKind.MSI, [5])
    descriptors = set(kernel.open_fds)
    kernel.log.clear()
    device._after_fork()
    assert kernel.log == []
    assert set(kernel.replaced) == descriptors
    for use in (
        lambda: region.read(0, 4),
        device.reset,
        lambda: device.dma.unmap(0, 4096),  # type: ignore[arg-type]
        lambda: device.irq.count(IrqKind.MSI),
    ):
        with pytest.raises(ForkedObject):
            use()
    device.irq.disable(IrqKind.MSI)
    device.close()
    assert kernel.log == []
    assert set(kernel.open_fds) == descriptors


def test_answers_longer_than_known_are_accepted(kernel: FakeKernel) -> None:
    def longer(answer: bytes) -> bytes:
        return struct.pack("=I", len(answer) + 16) + answer[4:] + bytes(16)

    kernel.change_answer["DEVICE_GET_INFO"] = longer
    open_fake(kernel).close()
    assert kernel.open_fds == {}


def test_reset_after_close_raises_whether_there_is_a_reset_or_not(kernel: FakeKernel) -> None:
    kernel.device_flags = 0b10
    device = open_fake(kernel)
    device.close()
    with pytest.raises(Closed):
        device.reset()
