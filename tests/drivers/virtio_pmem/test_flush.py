"""Flushes: waited for, shared where they may be, failed where the host fails."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Iterator

import pytest

from pymmio.errors import (
    BudgetExceeded,
    Closed,
    DeviceFailed,
    DeviceGone,
    DeviceTimeout,
    ForkedObject,
    ProtocolError,
)
from pymmio.models.virtio.pmem import VirtioPmemModel
from pymmio.testing import open_model
from pymmio_drivers.virtio_pmem import FlushError, FlushResult, VirtioPmem
from tests.children import in_forked_child

SIZE = 1 << 16
DONE, JOINED = FlushResult.DONE, FlushResult.JOINED


@pytest.fixture
def model() -> VirtioPmemModel:
    return VirtioPmemModel(size=SIZE)


@pytest.fixture(params=[None, False], ids=["interrupts", "polled"])
def pmem(model: VirtioPmemModel, request: pytest.FixtureRequest) -> Iterator[VirtioPmem]:
    with VirtioPmem.open(open_model(model), interrupts=request.param) as opened:
        yield opened


def test_what_was_written_is_durable_after_a_flush(
    pmem: VirtioPmem, model: VirtioPmemModel
) -> None:
    pmem.write(100, b"persistent")
    assert pmem.read(100, 10) == b"persistent"
    assert model.durable[100:110] == bytes(10)
    assert pmem.flush() is DONE
    assert model.durable[100:110] == b"persistent"


def test_a_flush_that_runs_does_not_serve_a_later_request(
    pmem: VirtioPmem, model: VirtioPmemModel
) -> None:
    model.is_holding = True
    first = pmem.flush_async()
    later = [pmem.flush_async() for _ in range(5)]
    assert model.held == 1
    assert not first.done()
    model.release(1)
    assert first.result(5.0) is DONE
    while not model.held:  # the next one starts when the first came back
        threading.Event().wait(0.001)
        pmem.virtio.queues[0].poll(0.0)
    assert not any(one.done() for one in later)
    model.release()
    assert [one.result(5.0) for one in later] == [DONE, *[JOINED] * 4]
    assert pmem.device_flushes == model.flushes == 2


def test_64_threads_need_two_flushes_of_the_device_at_most(
    pmem: VirtioPmem, model: VirtioPmemModel
) -> None:
    model.is_holding = True
    running = pmem.flush_async()
    results: list[FlushResult] = []
    asked = threading.Barrier(65)

    def flush() -> None:
        future = pmem.flush_async()
        asked.wait(10.0)
        results.append(future.result(10.0))

    threads = [threading.Thread(target=flush) for _ in range(64)]
    for thread in threads:
        thread.start()
    asked.wait(10.0)
    model.is_holding = False
    model.release()
    for thread in threads:
        thread.join(10.0)
    assert running.result(5.0) is DONE
    assert sorted(results) == [DONE, *[JOINED] * 63]
    assert model.flushes == 2


def test_the_host_fails_and_later_recovers(pmem: VirtioPmem, model: VirtioPmemModel) -> None:
    model.failing = 1
    with pytest.raises(FlushError) as caught:
        pmem.flush()
    assert caught.value.errno == errno.EIO
    assert isinstance(caught.value, OSError)
    model.failing = 0xFFFF_FFF4  # any other value is a failure too
    with pytest.raises(FlushError, match="4294967284"):
        pmem.flush()
    model.failing = None
    assert pmem.flush() is DONE


def test_all_who_share_a_flush_share_its_failure(pmem: VirtioPmem, model: VirtioPmemModel) -> None:
    model.is_holding = True
    first = pmem.flush_async()
    later = [pmem.flush_async() for _ in range(3)]
    model.release()
    assert first.result(5.0) is DONE
    model.failing, model.is_holding = 1, False
    while not all(one.done() for one in later):
        model.release()
        pmem.virtio.queues[0].poll(0.001)
    assert [type(one.exception(0)) for one in later] == [FlushError] * 3


def test_a_late_flush_keeps_its_memory_until_the_reset(
    pmem: VirtioPmem, model: VirtioPmemModel
) -> None:
    model.is_holding = True
    with pytest.raises(DeviceTimeout, match=r"within 0\.05 s"):
        pmem.flush(0.05)
    waiting = pmem.flush_async()
    model.is_holding = False
    pmem.write(0, b"kept")
    pmem.reset()
    with pytest.raises(DeviceFailed):
        waiting.result(5.0)
    assert pmem.flush() is DONE
    assert model.durable[:4] == b"kept"


def test_a_flush_that_comes_back_late_counts(pmem: VirtioPmem, model: VirtioPmemModel) -> None:
    model.is_holding = True
    with pytest.raises(DeviceTimeout):
        pmem.flush(0.05)
    model.is_holding = False
    model.release()
    assert pmem.flush() is DONE


def test_a_broken_queue_fails_all_who_wait(pmem: VirtioPmem, model: VirtioPmemModel) -> None:
    model.is_holding = True
    waiting = [pmem.flush_async() for _ in range(4)]
    model.fail()
    for one in waiting:
        with pytest.raises(DeviceFailed):
            one.result(5.0)
    with pytest.raises(DeviceFailed):
        pmem.flush()
    model.is_holding = False
    pmem.reset()
    assert pmem.flush() is DONE


def test_a_result_of_too_few_bytes_is_not_success(
    pmem: VirtioPmem, model: VirtioPmemModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "serve", lambda queue, chain: 0)
    with pytest.raises(ProtocolError, match="0 bytes of its result"):
        pmem.flush()


def test_an_unplugged_device_ends_the_wait(model: VirtioPmemModel) -> None:
    device = open_model(model)
    with VirtioPmem.open(device, interrupts=False) as pmem:
        model.is_holding = True
        waiting = pmem.flush_async()
        device.handle.slot.unplug()
        with pytest.raises(DeviceGone):
            waiting.result(5.0)


async def test_flushes_are_awaitable(pmem: VirtioPmem, model: VirtioPmemModel) -> None:
    results = await asyncio.gather(*(pmem.flush_async() for _ in range(8)))
    assert results[0] is DONE
    assert set(results) <= {DONE, JOINED}
    model.failing = 1
    with pytest.raises(FlushError):
        await pmem.flush_async()


def test_close_fails_who_waits(model: VirtioPmemModel) -> None:
    pmem = VirtioPmem.open(open_model(model))
    model.is_holding = True
    waiting = [pmem.flush_async() for _ in range(3)]
    pmem.close()
    pmem.close()
    for one in waiting:
        assert isinstance(one.exception(5.0), (Closed, DeviceFailed))
    with pytest.raises(Closed):
        pmem.flush()


def test_threads_that_write_and_flush_lose_nothing(
    pmem: VirtioPmem, model: VirtioPmemModel
) -> None:
    failures: list[str] = []

    def work(number: int) -> None:
        for turn in range(20):
            pmem.write(8 * number, (turn + 1).to_bytes(8, "little"))
            pmem.flush()
            there = int.from_bytes(model.durable[8 * number : 8 * number + 8], "little")
            if there < turn + 1:
                failures.append(f"thread {number}, turn {turn}: {there}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert failures == []


def test_a_polled_flush_is_looked_for_by_whoever_asks(model: VirtioPmemModel) -> None:
    with VirtioPmem.open(open_model(model), interrupts=False) as pmem:
        assert pmem.flush_async().exception(5.0) is None
        assert pmem.flush_async().result(0) is DONE  # it is back already
        model.is_holding = True
        with pytest.raises(DeviceTimeout):
            pmem.flush_async().exception(0.01)


def test_a_lack_of_memory_is_no_error_of_the_host_and_the_next_flush_works(
    pmem: VirtioPmem, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = pmem.virtio.queues[0]

    def refuse(*_: object, **__: object) -> None:
        raise BudgetExceeded("no memory", hint="")

    monkeypatch.setattr(queue, "submit", refuse)
    with pytest.raises(BudgetExceeded):
        pmem.flush()
    monkeypatch.undo()
    assert pmem.flush() is DONE


def test_a_flush_that_is_sent_while_the_device_closes_is_closed(
    pmem: VirtioPmem, monkeypatch: pytest.MonkeyPatch
) -> None:
    flusher = pmem._flusher
    send = flusher._send

    def closing() -> None:  # another thread is quicker between the lock and the request
        pmem.close()
        send()

    monkeypatch.setattr(flusher, "_send", closing)
    with pytest.raises(Closed):
        pmem.flush(5.0)


def test_a_forked_child_sends_nothing(pmem: VirtioPmem, model: VirtioPmemModel) -> None:
    def child() -> None:
        for use in (pmem.flush, pmem.flush_async, pmem.reset, lambda: pmem.read(0, 1)):
            with pytest.raises(ForkedObject):
                use()
        pmem.close()
        assert model.flushes == 0

    with pmem._flusher._lock, pmem._lock:  # other threads may be anywhere when the process forks
        in_forked_child(child)
    assert pmem.flush() is DONE
