"""The sim backend: configuration space, IOMMU, interrupts, regions."""

from __future__ import annotations

import os

import pytest

import pymmio
from pymmio.backend.sim import SimHandle
from pymmio.errors import (
    AccessFault,
    Closed,
    DeviceNotFound,
    DeviceTimeout,
    DmaError,
    IommuFault,
    Unsupported,
    UriError,
    ValueOutOfRange,
)
from pymmio.handle import Iova, IrqKind
from pymmio.pci import Command, Msi, MsiX, PciExpress, PowerManagement
from tests.unit.backend.sim.rig import Rig, make_device


def test_identity_and_capabilities_are_in_configuration_space() -> None:
    device, _, _ = make_device()
    with device:
        ids = device.config.ids
        assert (ids.vendor_id, ids.device_id, ids.class_code) == (0x1AF4, 0x10F0, 0xFF0000)
        found = {type(c) for c in device.config.capabilities()}
        assert found == {PowerManagement, Msi, MsiX, PciExpress}
        msix = device.config.capability(MsiX)
        assert msix is not None
        assert device.config.interrupt_pin == 1


def test_bars_answer_the_sizing_protocol() -> None:
    device, _, _ = make_device()
    with device:
        sizes = {bar.index: (bar.size, bar.is_prefetchable) for bar in device.config.size_bars()}
        assert sizes == {0: (0x2000, False), 2: (0x1000, True)}
        assert device.config.command & Command.MEMORY


def test_read_only_bits_of_configuration_space_stay() -> None:
    device, _, _ = make_device()
    with device:
        device.config.write16(0x00, 0xFFFF)
        device.config.write8(0x3D, 0xFF)
        assert device.config.vendor_id == 0x1AF4
        assert device.config.interrupt_pin == 1
        device.config.command = 0xFFFF
        assert device.config.read16(0x04) == 0x0547


@pytest.mark.parametrize("answer", [1 << 32, -1, None, 1.0])
def test_what_no_bus_can_carry_is_an_error_of_the_model(
    answer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, model, _ = make_device()
    with device:
        bar = device.region(0)
        monkeypatch.setattr(model, "bar_read", lambda *asked: answer)
        with pytest.raises(ValueOutOfRange, match=r"sim:rig: the model answers.*BAR0\+0x8") as seen:
            bar.read32(0x8)
        assert "bar_read() must return a number of 32 bits" in str(seen.value)
        assert (seen.value.offset, seen.value.width) == (0x8, 4)


def test_accesses_reach_the_model_as_they_are() -> None:
    device, model, _ = make_device()
    with device:
        bar = device.region(0)
        assert bar.read16(4) == 0xFFFE
        bar.write64(8, 1)
        assert model.accesses == [("read", 0, 4, 2), ("write", 0, 8, 8)]


def test_the_msix_table_is_not_the_models() -> None:
    device, model, _ = make_device()
    with device:
        device.region(0).write32(0x1000, 0xFEE00000)
        assert device.region(0).read32(0x1000) == 0xFEE00000
        assert model.accesses == []


def test_a_memory_bar_is_mapped_and_shared_with_the_model() -> None:
    device, model, handle = make_device()
    with device:
        bar = device.region(2)
        assert bar.access == "mapped"
        bar.write32(8, 0x01020304)
        assert bytes(handle.bar_memory(2)[8:12]) == bytes([4, 3, 2, 1])
        with bar.view() as view:
            view[8] = 9
        assert bar.read8(8) == 9
        assert model.accesses == []


def test_a_memory_bar_by_pread_when_forced() -> None:
    device, _, _ = make_device(access=pymmio.Access.PREAD)
    with device:
        bar = device.region(2)
        assert bar.access == "pread"
        bar.write16(2, 0x1234)
        assert bar.read16(2) == 0x1234
        with pytest.raises(Unsupported, match="access='pread'"):
            device.region(0)


def test_registers_do_not_answer_without_memory_decoding() -> None:
    device, model, _ = make_device()
    with device:
        device.config.command = Command(0)
        with pytest.raises(AccessFault, match="memory decoding is off"):
            device.region(0).read32(0)
        assert model.accesses == []


def test_dma_reaches_what_is_mapped_and_nothing_else() -> None:
    device, _, handle = make_device()
    with device:
        device.enable_bus_master()
        buf = device.dma.alloc(8192)
        memoryview(buf)[4090:4100] = b"0123456789"
        assert handle.dma_read(buf.iova + 4090, 10) == b"0123456789"
        handle.dma_write(buf.iova + 1, b"abc")
        assert bytes(memoryview(buf)[:5]) == b"\0abc\0"
        for iova, size in ((buf.iova - 1, 2), (buf.iova + 8191, 2), (0, 1), (1 << 60, 8)):
            with pytest.raises(IommuFault):
                handle.dma_read(iova, size)
        with pytest.raises(IommuFault):
            handle.dma_write(buf.iova + 8190, b"1234")
        assert bytes(memoryview(buf)[8190:]) == b"\0\0"  # all or nothing
        iova = buf.iova
        buf.close()
        with pytest.raises(IommuFault):
            handle.dma_read(iova, 1)


def test_dma_over_neighbouring_mappings() -> None:
    device, _, handle = make_device()
    with device:
        device.enable_bus_master()
        first, second = device.dma.alloc(4096), device.dma.alloc(4096)
        assert second.iova == first.iova + 4096
        handle.dma_write(first.iova + 4094, b"wxyz")
        assert bytes(memoryview(first)[4094:]) == b"wx"
        assert bytes(memoryview(second)[:2]) == b"yz"
        assert handle.dma_read(first.iova + 4094, 4) == b"wxyz"


def test_dma_needs_bus_mastering() -> None:
    device, _, handle = make_device()
    with device:
        buf = device.dma.alloc(4096)
        with pytest.raises(IommuFault, match="bus mastering is off"):
            handle.dma_read(buf.iova, 1)


def test_the_iommu_refuses_overlap_holes_and_broken_pages() -> None:
    handle = SimHandle(Rig(), "sim:rig")
    fd = os.memfd_create("test")
    os.ftruncate(fd, 8192)
    handle.dma.map(Iova(0x10000), 8192, address=0, fd=fd, fd_offset=0)
    for iova, size in ((0x11000, 4096), (0xF000, 8192), (0x10001, 4096), (0x20000, 1)):
        with pytest.raises(DmaError):
            handle.dma.map(Iova(iova), size, address=0, fd=fd, fd_offset=0)
    with pytest.raises(DmaError):
        handle.dma.map(Iova(0xFEE00000), 4096, address=0, fd=fd, fd_offset=0)
    for iova, size in ((0x10000, 4096), (0x11000, 4096), (0x30000, 4096)):
        with pytest.raises(DmaError):
            handle.dma.unmap(Iova(iova), size)
    handle.dma.unmap(Iova(0x10000), 8192)
    handle.close()
    os.close(fd)


@pytest.mark.parametrize("kind", [IrqKind.MSI, IrqKind.MSIX])
def test_messages_reach_their_vector(kind: IrqKind) -> None:
    device, _, handle = make_device()
    with device:
        device.enable_bus_master()
        vectors = getattr(device.irqs, str(kind))
        vectors.enable(2)
        handle.raise_irq(kind, 1)
        handle.raise_irq(kind, 1)
        handle.raise_irq(kind, 9)  # no such vector: nothing
        assert vectors[1].wait(timeout_s=5) == 2
        assert vectors[0].try_take() == 0
        with pytest.raises(DeviceTimeout):
            vectors[0].wait(timeout_s=0.01)
        vectors.disable()


def test_messages_need_bus_mastering_and_their_kind() -> None:
    device, _, handle = make_device()
    with device:
        vector = device.irqs.msix[0]
        handle.raise_irq(IrqKind.MSIX, 0)
        assert vector.try_take() == 0
        device.enable_bus_master()
        handle.raise_irq(IrqKind.MSI, 0)
        assert vector.try_take() == 0
        handle.raise_irq(IrqKind.MSIX, 0)
        assert vector.try_take() == 1


def test_intx_is_a_level_that_fires_again_while_asserted() -> None:
    device, _, handle = make_device()
    with device:
        pin = device.irqs.intx[0]
        handle.raise_irq(IrqKind.INTX)
        handle.raise_irq(IrqKind.INTX)  # masked since the first
        assert pin.wait(timeout_s=5) == 1
        assert pin.wait(timeout_s=5) == 1  # still asserted: again after the unmask
        handle.lower_intx()
        pin.try_take()
        assert pin.try_take() == 0


def test_intx_disable_keeps_the_pin_silent() -> None:
    device, _, handle = make_device()
    with device:
        device.config.update_command(on=Command.INTX_DISABLE)
        pin = device.irqs.intx[0]
        handle.raise_irq(IrqKind.INTX)
        assert pin.try_take() == 0


def test_reset_clears_registers_and_bus_mastering() -> None:
    device, model, _ = make_device()
    with device:
        device.enable_bus_master()
        device.reset()
        assert model.resets == 1
        assert device.config.command == Command.MEMORY


def test_options_go_to_the_model() -> None:
    with pytest.raises(DeviceNotFound, match="Models are"):
        pymmio.open_device("sim:nothing")
    with pytest.raises(UriError, match="nonsense"):
        pymmio.open_device("sim:edu?nonsense=1")


def test_closing_closes_the_model_and_leaves_no_descriptor() -> None:
    before = set(os.listdir("/proc/self/fd"))
    device, model, _ = make_device()
    device.region(2)
    device.irqs.msix.enable(4)
    device.dma.alloc(4096)
    device.close()
    device.close()
    assert model.is_closed
    assert set(os.listdir("/proc/self/fd")) == before
    with pytest.raises(Closed):
        device.region(0)
