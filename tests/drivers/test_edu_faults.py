"""The edu driver on devices in which things go wrong."""

from __future__ import annotations

import pytest

from pymmio.errors import AccessFault, DeviceGone, DeviceTimeout, DmaError, Unsupported
from pymmio.testing import faults
from pymmio.testing.faults import Fault
from pymmio_drivers import edu as module
from pymmio_drivers.edu import Edu

ID, FACTORIAL, STATUS, DMA_COMMAND = 0x00, 0x08, 0x20, 0x98


@pytest.fixture
def device(edu_uri, monkeypatch):
    """A device of any backend to which tests add faults; the driver is in a hurry."""
    # QEMU's device takes 0.1 s for a transfer (QEMU hw/misc/edu.c)
    monkeypatch.setattr(module, "WAIT_S", 0.1 if edu_uri.startswith("sim:") else 1.0)
    with faults.open_device(edu_uri) as device:
        yield device


@pytest.fixture
def edu(device):
    return Edu(device)


def add(edu, *some):
    edu.device.handle.faults.add(*some)


def works(edu):
    """Whether it computes, and copies memory both ways, by interrupts as well."""
    with edu.alloc(64) as source, edu.alloc(64) as target:
        with memoryview(source) as view:
            view[:] = bytes(range(64))
        edu.copy_in(source, by_interrupt=True)
        edu.copy_out(target)
        return bytes(target) == bytes(range(64)) and edu.factorial(5, by_interrupt=True) == 120


def test_a_device_that_is_not_there_or_is_another_one(device):
    device.handle.faults.add(Fault.ones(offset=ID))
    with pytest.raises(DeviceGone):
        Edu(device)
    device.handle.faults.add(Fault.reads_as(0x0100_0012, offset=ID))
    with pytest.raises(Unsupported, match="no edu device"):
        Edu(device)
    assert works(Edu(device))


def test_an_interrupt_that_gets_lost_ends_the_wait(edu):
    assert works(edu)
    add(edu, Fault.irq_lost())
    with pytest.raises(DeviceTimeout):
        edu.factorial(5, by_interrupt=True)
    assert works(edu)


def test_a_transfer_whose_interrupt_gets_lost_leaves_nothing_held(edu):
    with edu.alloc(64) as buffer:
        add(edu, Fault.irq_lost())
        with pytest.raises(DeviceTimeout):
            edu.copy_out(buffer, by_interrupt=True)
        assert not edu.device.config.command & 4  # it can no longer write there
    assert works(edu)


def test_a_device_that_never_ends(edu):
    add(edu, Fault.reads_as(1, offset=STATUS, count=None, when=lambda event: event.width == 4))
    with pytest.raises(DeviceTimeout) as caught:
        edu.factorial(5)
    assert caught.value.last == 1
    edu.device.handle.faults.clear()
    assert works(edu)


def test_a_transfer_that_never_ends_leaves_nothing_held(edu):
    add(
        edu, Fault.write_lost(offset=DMA_COMMAND), Fault.reads_as(1, offset=DMA_COMMAND, count=None)
    )
    with edu.alloc(64) as buffer:
        with pytest.raises(DeviceTimeout):
            edu.copy_out(buffer)
        assert not edu.device.config.command & 4
    edu.device.handle.faults.clear()
    assert works(edu)


def test_a_transfer_that_was_given_up_has_ended_before_the_next_one_may_reach_memory(edu):
    with edu.alloc(64) as buffer:
        add(edu, Fault.access_fault(offset=DMA_COMMAND, when=lambda event: not event.value & 1))
        with pytest.raises(AccessFault):
            edu.copy_out(buffer)
    edu.device.handle.faults.clear()
    was_master = []

    def look(event):
        was_master.append(bool(edu.device.config.command & 4))
        return len(was_master) <= 3

    add(edu, Fault.reads_as(1, offset=DMA_COMMAND, when=look))  # it goes on
    assert works(edu)
    assert was_master[:4] == [False] * 4


def test_memory_that_cannot_be_had(edu):
    add(edu, Fault.map_fails())
    with pytest.raises(DmaError):
        edu.alloc()
    assert edu.device.dma.mapped_bytes == 0
    assert works(edu)


@pytest.mark.parametrize("step", range(6))
def test_an_access_that_fails_in_a_transfer_leaves_nothing_held(edu, step):
    with edu.alloc(64) as buffer:
        add(edu, Fault.access_fault(after=step))
        with pytest.raises(AccessFault, match="injected"):
            for _ in range(3):
                edu.copy_out(buffer)
        assert not edu.device.config.command & 4
    assert works(edu)


@pytest.mark.parametrize("step", range(6))
@pytest.mark.parametrize("reads", ["ones", "zeros", "fault"])
def test_a_device_that_is_removed_in_a_transfer(edu, step, reads):
    with edu.alloc(64) as buffer:
        add(edu, Fault.removed(reads, after=step))
        with pytest.raises((DeviceGone, DeviceTimeout)):
            for _ in range(3):
                edu.copy_out(buffer)
                edu.regs.identification.read()
                edu.device.check_present()
    edu.device.close()
    assert edu.device.dma.mapped_bytes == 0


@pytest.mark.parametrize("step", range(5))
def test_a_device_that_is_reset_in_a_transfer(edu, step):
    with edu.alloc(64) as buffer:
        add(edu, Fault.reset(after=step))
        with pytest.raises((AccessFault, DeviceTimeout)):
            edu.copy_out(buffer)
            edu.is_alive()
            raise DeviceTimeout("a backend whose reset keeps the header")
    edu.device.reset()
    assert works(edu)


def test_data_that_is_late_reaches_no_memory_that_was_given_back():
    with faults.open_device("sim:edu") as device:
        edu = Edu(device)
        with edu.alloc(64) as buffer:
            add(edu, Fault.dma_write_late())
            edu.copy_out(buffer)
        assert device.handle.release() == 1
        (late,) = device.handle.faults.log
        assert "refused" in late.outcome
        assert works(edu)
