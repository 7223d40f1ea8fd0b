"""Who waits for which buffer: full rings, breaking queues, forked children."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from pymmio.errors import (
    BadArgument,
    BufferBusy,
    Closed,
    DeviceFailed,
    DeviceGone,
    DeviceTimeout,
    ForkedObject,
    ProtocolError,
)
from pymmio.testing import open_model
from pymmio.virtio import INDIRECT_DESC, RING_PACKED, VirtioDevice
from pymmio.virtio.queue.virtqueue import Virtqueue
from tests.children import in_forked_child
from tests.unit.virtio.echo import EchoModel


@pytest.fixture
def model() -> EchoModel:
    return EchoModel()


@pytest.fixture
def device(model: EchoModel) -> Iterator[VirtioDevice]:
    with VirtioDevice.open(open_model(model)) as opened:
        opened.start({1: None}, interrupts=False)
        yield opened


@pytest.fixture
def queue(device: VirtioDevice) -> Virtqueue:
    return device.queues[1]


def _fill(device: VirtioDevice, queue: Virtqueue, count: int) -> list[Future[int]]:
    buffer = device.dma.alloc(4096)
    return [queue.submit([buffer[:1]], [buffer[8:9]]) for _ in range(count)]


def test_what_never_fits_is_refused_while_others_wait_for_room(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel
) -> None:
    model.is_holding = True
    sent = _fill(device, queue, 6)
    buffer = device.dma.alloc(4096)
    with pytest.raises(BadArgument, match="in more pieces"):
        queue.submit([buffer[i : i + 1] for i in range(5)])
    buffer.close()  # nobody holds it
    model.is_holding = False
    model.give_back()
    queue.poll(0.02)
    assert [one.result(0) for one in sent] == [1] * 6


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_no_chain_is_longer_than_the_queue_in_a_table_neither(model: EchoModel, packed) -> None:
    wanted = (INDIRECT_DESC, RING_PACKED) if packed else (INDIRECT_DESC,)
    with VirtioDevice.open(open_model(model)) as device:
        device.start({0: 4, 1: None}, wanted=wanted, interrupts=False)
        buffer = device.dma.alloc(4096)
        for queue in device.queues.values():
            with pytest.raises(BadArgument, match="in more pieces"):
                queue.submit([buffer[i : i + 1] for i in range(5)])
            assert queue.wait(queue.submit([buffer[i : i + 1] for i in range(4)]), 5.0) == 0


def test_a_queue_that_closes_still_hands_on_what_came_back(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel
) -> None:
    model.is_holding = True
    sent = _fill(device, queue, 6)
    model.give_back()
    queue.engine.close()  # as ``close`` does while another thread takes buffers
    assert queue.reap() == 2
    assert [one.done() for one in sent] == [True, True, False, False, False, False]
    queue.close()
    for one in sent[2:]:
        with pytest.raises(Closed):
            one.result(0)


def test_two_threads_that_fail_all_at_once_do_not_meet(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.is_holding = True
    (sent,) = _fill(device, queue, 1)
    monkeypatch.setattr(Future, "done", lambda self: False)  # asked before the other was quicker
    queue.fail_all(DeviceFailed("first"), is_stopped=False)
    queue.fail_all(DeviceFailed("second"), is_stopped=False)
    monkeypatch.undo()
    with pytest.raises(DeviceFailed, match="first"):
        sent.result(0)


def test_a_queue_of_a_former_start_breaks_alone(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel
) -> None:
    device.reset()
    device.start({1: None}, interrupts=False)
    queue._break(ProtocolError("late"))
    device.check()
    (sent,) = _fill(device, device.queues[1], 1)
    assert device.queues[1].wait(sent, 5.0) == 1


def test_a_queue_that_breaks_fails_its_own_whoever_owns_it(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel
) -> None:
    model.is_holding = True
    (sent,) = _fill(device, queue, 1)
    device.queues = {}
    queue._break(ProtocolError("broken"))
    device.queues = {1: queue}
    with pytest.raises(ProtocolError, match="broken"):
        sent.result(0)


def test_a_reset_that_does_not_end_fails_who_waits_and_keeps_memory(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel
) -> None:
    model.is_holding = True
    (sent,) = _fill(device, queue, 1)
    mapped = device.dma.mapped_bytes
    model.never_resets = True
    with pytest.raises(DeviceTimeout):
        device.reset(timeout_s=0.01)
    with pytest.raises(DeviceTimeout):
        sent.result(0)
    assert device.dma.mapped_bytes == mapped
    assert not queue.memory.buffer.closed
    model.never_resets = False
    device.reset()
    device.start({1: None}, interrupts=False)


def test_a_device_without_queues_is_stopped_too(model: EchoModel) -> None:
    device = VirtioDevice.open(open_model(model))
    device.start(interrupts=True)
    with pytest.raises(BadArgument, match="started already"):
        device.start()
    resets = model.resets
    device.reset()
    device.start(interrupts=True)
    device.close()
    assert model.resets >= resets + 3  # by reset, by start, by close


def test_a_forked_child_touches_no_ring(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel
) -> None:
    model.is_holding = True
    buffer = device.dma.alloc(4096)
    sent = queue.submit([buffer[:1]], [buffer[8:9]])
    resets = model.resets

    def child() -> None:
        for use in (
            lambda: queue.submit(),
            lambda: queue.wait(sent, 1.0),
            lambda: queue.poll(0.0),
            lambda: queue.interrupts(True),
            lambda: device.start(),
            lambda: device.reset(),
        ):
            with pytest.raises(ForkedObject):
                use()
        assert queue.reap() == 0
        queue.close()
        device.close()
        assert not sent.done()
        assert model.resets == resets

    with queue._lock, device._lock:  # other threads may be anywhere when the process forks
        in_forked_child(child)
    model.give_back()
    assert queue.wait(sent, 5.0) == 1


def test_a_signal_while_the_device_is_told_leaves_it_the_memory(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = device.dma.alloc(4096)

    def interrupted(*, force: bool = False) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(queue.engine, "kick", interrupted)
    with pytest.raises(KeyboardInterrupt):
        queue.submit([buffer[:1]], [buffer[8:9]])
    monkeypatch.undo()
    with pytest.raises(BufferBusy):  # the device may find it at any time
        buffer.close()
    device.reset()
    buffer.close()


def test_a_signal_while_room_is_given_away_loses_no_result(
    device: VirtioDevice, queue: Virtqueue, model: EchoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.is_holding = True
    sent = _fill(device, queue, 6)
    model.give_back()

    def interrupted(*, force: bool = False) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(queue.engine, "kick", interrupted)
    with pytest.raises(KeyboardInterrupt):
        queue.reap()
    monkeypatch.undo()
    assert [one.done() for one in sent] == [True, True, False, False, False, False]


@pytest.mark.parametrize("at", [(0x14, 1), (0x14, 3), (0x14, 11), (0x1C, 1), (0x14, 15)])
def test_a_device_that_leaves_while_it_is_started_leaves_nothing(
    model: EchoModel, at: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_model(model)
    device = VirtioDevice.open(opened)
    before, original = threading.active_count(), model.bar_write

    def unplugging(bar: int, offset: int, width: int, value: int) -> None:
        original(bar, offset, width, value)
        if bar == 4 and (offset, value) == at:
            opened.handle.slot.unplug()

    monkeypatch.setattr(model, "bar_write", unplugging)
    with pytest.raises(DeviceGone):
        device.start({0: None, 1: None})
        device.check()
    assert device.dma.mapped_bytes == 0 or at == (0x14, 15)  # the last write is only noticed later
    device.close()
    assert device.dma.mapped_bytes == 0
    assert threading.active_count() == before


@pytest.mark.parametrize("interrupts", [False, True], ids=["polled", "interrupts"])
def test_a_device_that_was_closed_below_is_closed_without_a_complaint(
    model: EchoModel, interrupts: bool
) -> None:
    opened = open_model(model)
    before = threading.active_count()
    device = VirtioDevice.open(opened)
    device.start({0: None}, interrupts=interrupts)
    model.is_holding = True
    sent = device.queues[0].submit([device.dma.alloc(64)])
    opened.close()
    device.close()
    with pytest.raises((Closed, DeviceFailed)):
        sent.result(0)
    assert threading.active_count() == before


def test_whatever_ends_the_thread_of_a_vector_fails_who_waits(
    model: EchoModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with VirtioDevice.open(open_model(model)) as device:
        device.start({0: None}, interrupts=True)
        queue = device.queues[0]
        model.is_holding = True
        sent = queue.submit([device.dma.alloc(64)])

        def fails() -> int:
            raise OSError("no doorbell any more")

        monkeypatch.setattr(queue, "reap", fails)
        model.give_back()
        with pytest.raises(DeviceFailed, match="no doorbell any more"):
            sent.result(10.0)
        with pytest.raises(DeviceFailed):
            queue.submit()
