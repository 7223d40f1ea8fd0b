"""What every backend must do, shown with an edu device.

Each function takes the URI of an edu device (QEMU's, or pymmio's model of it).  They run on
the host against ``sim:edu`` and in the guest against real vfio-pci: plain asserts, no pytest.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable

import pymmio
from pymmio.errors import (
    Closed,
    DeviceTimeout,
    ForkedObject,
    IommuFault,
    Misaligned,
    OutOfBounds,
    PymmioError,
    Unsupported,
    ValueOutOfRange,
)
from pymmio.handle import CONFIG_REGION, Access
from pymmio.trace import RingSink
from tests.children import in_forked_child

# QEMU, docs/specs/edu.rst
IDENTIFICATION, LIVENESS, FACTORIAL, STATUS = 0x00, 0x04, 0x08, 0x20
IRQ_STATUS, IRQ_RAISE, IRQ_ACK = 0x24, 0x60, 0x64
DMA_SOURCE, DMA_DESTINATION, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
DMA_START, DMA_FROM_DEVICE = 1, 2
BUFFER = 0x40000


def raises(kind: type[Exception], call: Callable[[], object]) -> Exception:
    """Return the exception of this kind that ``call`` raises; fail if it raises none."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def registers_answer_in_32_bits(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        bar = device.region(0)
        assert bar.size == 1 << 20
        assert bar.read32(IDENTIFICATION) & 0xFF == 0xED
        bar.write32(LIVENESS, 0x12345678)
        assert bar.read32(LIVENESS) == 0xEDCBA987


def bad_accesses_are_refused_and_nothing_is_touched(uri: str) -> None:
    sink = RingSink()
    with pymmio.open_device(uri) as device:
        bar = device.region(0)
        bar.write32(LIVENESS, 5)
        raises(Misaligned, lambda: bar.read32(2))
        raises(Misaligned, lambda: bar.write64(LIVENESS, 0))
        raises(OutOfBounds, lambda: bar.read32(1 << 20))
        raises(OutOfBounds, lambda: bar.write8(-1, 0))
        raises(ValueOutOfRange, lambda: bar.write32(LIVENESS, 1 << 32))
        assert bar.read32(LIVENESS) == 0xFFFFFFFA
    assert not sink.events


def configuration_space_identifies_the_device(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        assert (device.config.vendor_id, device.config.device_id) == (0x1234, 0x11E8)
        assert device.region(CONFIG_REGION).read32(0) == 0x11E81234


def polling_sees_the_device_finish(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        bar = device.region(0)
        bar.write32(FACTORIAL, 6)
        bar.wait32(STATUS, mask=1, value=0, timeout_s=10)
        assert bar.read32(FACTORIAL) == 720


def polling_times_out_with_the_last_value(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        bar = device.region(0)
        bar.write32(LIVENESS, 0)
        error = raises(DeviceTimeout, lambda: bar.wait32(LIVENESS, mask=1, value=0, timeout_s=0.05))
        assert isinstance(error, DeviceTimeout)
        assert error.last == 0xFFFFFFFF


def dma_goes_both_ways(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        device.enable_bus_master()
        bar = device.region(0)
        buf = device.dma.alloc(4096)
        data = os.urandom(1024)
        with memoryview(buf) as view:
            view[:1024] = data
            _copy(bar, buf.iova, BUFFER, 1024, DMA_START)
            half = buf[2048:]
            _copy(bar, BUFFER, half.iova, 1024, DMA_START | DMA_FROM_DEVICE)
            assert bytes(view[2048:3072]) == data
            assert bytes(view[3072:]) == bytes(1024)


def _copy(bar: pymmio.Region, source: int, destination: int, size: int, command: int) -> None:
    bar.write64(DMA_SOURCE, source)
    bar.write64(DMA_DESTINATION, destination)
    bar.write64(DMA_COUNT, size)
    bar.write64(DMA_COMMAND, command)
    bar.wait64(DMA_COMMAND, mask=DMA_START, value=0, timeout_s=10)


def dma_outside_what_is_mapped_reaches_no_memory(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        device.enable_bus_master()
        bar = device.region(0)
        buf = device.dma.alloc(4096)
        iova = buf.iova
        buf.close()
        other = device.dma.alloc(8192)
        hole = next(i for i in range(0x1000, 0x100000, 0x1000) if not _overlaps(i, other))
        with contextlib.suppress(IommuFault):  # in this process the fault comes back to the caller
            _copy(bar, BUFFER, hole, 256, DMA_START | DMA_FROM_DEVICE)
        with memoryview(other) as view:
            assert bytes(view) == bytes(8192)
        assert iova


def _overlaps(iova: int, buf: object) -> bool:
    start: int = buf.iova  # type: ignore[attr-defined]
    return start <= iova < start + 8192


def messages_arrive_at_their_eventfd(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        device.enable_bus_master()
        vector = device.irqs.msi[0]
        bar = device.region(0)
        bar.write32(IRQ_RAISE, 0x4)
        assert vector.wait(timeout_s=10) >= 1
        assert bar.read32(IRQ_STATUS) == 0x4
        bar.write32(IRQ_ACK, 0x4)
        assert bar.read32(IRQ_STATUS) == 0
        raises(DeviceTimeout, lambda: vector.wait(timeout_s=0.02))


def the_pin_arrives_and_is_unmasked_again(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        pin = device.irqs.intx[0]
        bar = device.region(0)
        for round_ in (1, 2):
            bar.write32(IRQ_RAISE, round_)
            assert pin.wait(timeout_s=10) >= 1
            bar.write32(IRQ_ACK, round_)
            while pin.try_take():  # an event that was under way before the acknowledge
                pass


def kinds_of_interrupts_that_are_missing_say_so(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        assert len(device.irqs.msix) == 0
        error = raises(Unsupported, lambda: device.irqs.msix[0])
        assert "msi" in str(error)


def reset_resets_or_says_why_not(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        refused: Unsupported | None = None
        try:
            device.reset()
        except Unsupported as error:
            refused = error
        assert refused is None or refused.hint
        assert device.region(0).read32(IDENTIFICATION) & 0xFF == 0xED


def close_wakes_who_polls_and_who_waits(uri: str) -> None:
    device = pymmio.open_device(uri)
    bar = device.region(0)
    bar.write32(LIVENESS, 0)
    vector = device.irqs.msi[0]
    outcomes: list[type[BaseException]] = []
    running = threading.Barrier(3)

    def run(call: Callable[[], object]) -> None:
        running.wait(10)
        try:
            call()
        except BaseException as error:
            outcomes.append(type(error))

    calls: list[Callable[[], object]] = [
        lambda: bar.wait32(LIVENESS, mask=1, value=0, timeout_s=60),
        lambda: vector.wait(timeout_s=60),
    ]
    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    running.wait(10)
    device.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert outcomes == [Closed, Closed], outcomes


def after_close_everything_raises_and_the_device_can_be_opened_again(uri: str) -> None:
    descriptors = set(os.listdir("/proc/self/fd"))
    device = pymmio.open_device(uri)
    bar, buf = device.region(0), device.dma.alloc(4096)
    device.close()
    device.close()
    assert set(os.listdir("/proc/self/fd")) == descriptors
    for call in (lambda: bar.read32(0), lambda: buf.iova, lambda: device.irqs.msi[0]):
        raises(Closed, call)
    with pymmio.open_device(uri) as again:
        assert again.region(0).read32(IDENTIFICATION) & 0xFF == 0xED


def a_forked_child_neither_uses_nor_releases(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        bar, buf = device.region(0), device.dma.alloc(4096)

        def child() -> None:
            raises(ForkedObject, lambda: bar.read32(0))
            raises(ForkedObject, lambda: buf.iova)
            raises(ForkedObject, lambda: device.region(0))
            device.close()

        in_forked_child(child)
        bar.write32(LIVENESS, 1)
        assert bar.read32(LIVENESS) == 0xFFFFFFFE
        device.enable_bus_master()
        _copy(bar, buf.iova, BUFFER, 64, DMA_START)


def threads_may_share_a_region(uri: str) -> None:
    with pymmio.open_device(uri) as device:
        bar = device.region(0)
        wrong: list[int] = []

        def read() -> None:
            for _ in range(200):
                if bar.read32(IDENTIFICATION) & 0xFF != 0xED:
                    wrong.append(1)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not wrong


def ways_that_are_not_offered_are_refused(uri: str) -> None:
    error = raises(PymmioError, lambda: _region_by(uri, Access.MIO))
    assert isinstance(error, Unsupported)
    assert "It offers" in str(error)


def _region_by(uri: str, access: Access) -> None:
    with pymmio.open_device(uri, access=access) as device:
        device.region(0)


SUITE: tuple[Callable[[str], None], ...] = (
    registers_answer_in_32_bits,
    bad_accesses_are_refused_and_nothing_is_touched,
    configuration_space_identifies_the_device,
    polling_sees_the_device_finish,
    polling_times_out_with_the_last_value,
    dma_goes_both_ways,
    dma_outside_what_is_mapped_reaches_no_memory,
    messages_arrive_at_their_eventfd,
    the_pin_arrives_and_is_unmasked_again,
    kinds_of_interrupts_that_are_missing_say_so,
    reset_resets_or_says_why_not,
    close_wakes_who_polls_and_who_waits,
    after_close_everything_raises_and_the_device_can_be_opened_again,
    a_forked_child_neither_uses_nor_releases,
    threads_may_share_a_region,
    ways_that_are_not_offered_are_refused,
)
