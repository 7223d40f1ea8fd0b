"""The edu driver."""

from __future__ import annotations

import math

import pytest

from pymmio import open_device
from pymmio.errors import (
    BadArgument,
    BufferBusy,
    Closed,
    DeviceGone,
    DeviceTimeout,
    ProtocolError,
    Unsupported,
)
from pymmio_drivers import edu as module
from pymmio_drivers.edu import Edu, Registers


@pytest.fixture
def edu(edu_uri):
    with Edu.open(edu_uri) as found:
        yield found


def model_of(edu):
    """The model behind a sim: device."""
    return edu.device.handle.model


@pytest.fixture
def sim():
    with Edu.open("sim:edu") as found:
        yield found


def test_register_offsets_are_those_of_the_documentation():
    assert {name: place.offset for name, place in Registers.places.items()} == {
        "identification": 0x00,
        "liveness": 0x04,
        "factorial": 0x08,
        "status": 0x20,
        "irq_status": 0x24,
        "irq_acknowledge": 0x64,
        "dma_source": 0x80,
        "dma_destination": 0x88,
        "dma_count": 0x90,
        "dma_command": 0x98,
    }
    assert module.Status.spec.fields["irq_after_factorial"].mask == 0x80
    assert {n: f.mask for n, f in module.DmaCommand.spec.fields.items()} == {
        "start": 1,
        "to_memory": 2,
        "irq": 4,
    }


def test_it_is_identified_and_alive(edu):
    assert edu.version == (1, 0)
    assert edu.is_alive()


@pytest.mark.parametrize("number", [0, 1, 5, 12, 13, 33])
@pytest.mark.parametrize("by_interrupt", [False, True])
def test_factorial(edu, number, by_interrupt):
    expected = math.factorial(number) % 2**32
    assert edu.factorial(number, by_interrupt=by_interrupt) == expected


def test_polling_after_interrupts_raises_none(sim):
    sim.factorial(5, by_interrupt=True)
    sim.factorial(6)
    assert sim._interrupt.try_take() == 0


@pytest.mark.parametrize("by_interrupt", [False, True])
def test_dma_goes_both_ways(edu, by_interrupt):
    size = 4092  # QEMU 7.2 ends itself when a transfer touches the last byte
    with edu.alloc(size) as source, edu.alloc(size) as target:
        with memoryview(source) as view:
            view[:] = (bytes(range(256)) * 16)[:size]
        edu.copy_in(source, by_interrupt=by_interrupt)
        edu.copy_out(target, by_interrupt=by_interrupt)
        assert bytes(target) == bytes(source)
        edu.copy_out(target[8:16], 100, by_interrupt=by_interrupt)
        assert bytes(target)[8:16] == bytes(range(100, 108))
        assert bytes(target)[16:24] == bytes(range(16, 24))


def test_all_4096_bytes_can_be_moved(sim):
    with sim.alloc() as source, sim.alloc() as target:
        with memoryview(source) as view:
            view[:] = bytes(range(256)) * 16
        sim.copy_in(source)
        sim.copy_out(target)
        assert bytes(target) == bytes(source)


def test_interrupt_by_the_pin_where_there_is_no_msi(sim, monkeypatch):
    monkeypatch.setattr(type(model_of(sim)), "msi_vectors", 0)
    with Edu.open("sim:edu") as pin_only:
        assert len(pin_only.device.irqs.msi) == 0
        assert pin_only.factorial(5, by_interrupt=True) == 120
        assert pin_only.factorial(6, by_interrupt=True) == 720


def test_transfer_that_does_not_fit_the_device_is_refused(edu):
    with edu.alloc(8192) as memory:
        with pytest.raises(BadArgument, match="do not fit"):
            edu.copy_in(memory)
        with pytest.raises(BadArgument, match="do not fit"):
            edu.copy_in(memory[:16], 4081)
        with pytest.raises(BadArgument, match="do not fit"):
            edu.copy_out(memory[:16], -1)


def test_memory_beyond_28_bits_is_refused_with_the_reason(sim):
    low = [sim.device.dma.alloc(1 << 24) for _ in range(15)]
    with sim.device.dma.alloc(1 << 25) as high:
        assert high.iova + high.size > 1 << 28
        with pytest.raises(Unsupported, match="28 address lines") as caught:
            sim.copy_in(high[-16:])
        assert "alloc" in str(caught.value)
    for buffer in low:
        buffer.close()


def test_another_device_is_refused_and_given_back(nvme_uri):
    with pytest.raises(Unsupported, match="no edu device"):
        Edu.open(nvme_uri)


def test_borrowed_device_stays_open(edu_uri):
    with open_device(edu_uri) as device:
        with Edu(device) as edu:
            assert edu.factorial(4) == 24
        assert device.region(0).read32(0) == 0x010000ED


def test_closing_twice_is_fine_and_use_after_close_raises(sim):
    sim.close()
    sim.close()
    with pytest.raises(Closed):
        sim.factorial(3)


def test_device_that_stays_busy_is_a_timeout_that_keeps_it_from_memory(monkeypatch):
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    with Edu.open("sim:edu?busy_reads=1000000") as edu, edu.alloc() as memory:
        with pytest.raises(DeviceTimeout, match="computing"):
            edu.factorial(3)
        with pytest.raises(DeviceTimeout):
            edu.factorial(3, by_interrupt=True)
        assert edu.device.config.command & 4
        with pytest.raises(DeviceTimeout, match="start"):
            edu.copy_out(memory)
        assert not edu.device.config.command & 4


def test_memory_is_held_during_the_transfer(sim, monkeypatch):
    with sim.alloc() as memory:
        seen = []

        def look(*arguments, **named):
            try:
                memory.close()
            except BufferBusy as error:
                seen.append(error)

        monkeypatch.setattr(type(sim.regs.dma_command), "wait_until", look)
        sim.copy_in(memory)
        assert seen
    assert memory.closed


def test_interrupt_for_something_else_is_a_protocol_error(sim):
    sim._switch_interrupt_on()
    model_of(sim)._raise(0x40)
    with pytest.raises(ProtocolError, match="0x40"):
        sim._wait_for_interrupt(0x1)


def test_all_ones_are_a_device_that_is_gone(sim, monkeypatch):
    monkeypatch.setattr(model_of(sim), "bar_read", lambda bar, offset, width: (1 << 8 * width) - 1)
    with pytest.raises(DeviceGone):
        Edu(sim.device)
