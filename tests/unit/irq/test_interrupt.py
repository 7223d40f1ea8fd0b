from __future__ import annotations

import asyncio
import math
import queue
import select
import signal
import threading
from collections.abc import Callable

import pytest

from pymmio.errors import BadArgument, Closed, DeviceTimeout, ForkedObject
from pymmio.handle import IrqKind
from pymmio.irq import Interrupt, Interrupts
from pymmio.testing.fakes import FakeIrq
from tests.children import in_forked_child

from .conftest import DEADLINE_S, Waiter

Descriptors = Callable[[], int]


@pytest.fixture
def irq(irqs: Interrupts) -> Interrupt:
    return irqs.msix[2]


@pytest.fixture
def fire(handle: FakeIrq, irq: Interrupt) -> Callable[..., None]:
    def fire(times: int = 1) -> None:
        handle.fire(IrqKind.MSIX, 2, times=times)

    return fire


@pytest.fixture
def waiting(irq: Interrupt, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that waits until so many threads wait for the interrupt."""
    threads: set[int] = set()
    changed = threading.Condition()
    wait_readable = irq._event.wait_readable

    def noted(timeout_s: float) -> bool:
        with changed:
            threads.add(threading.get_ident())
            changed.notify_all()
        return wait_readable(timeout_s)

    def waiting(count: int) -> None:
        with changed:
            assert changed.wait_for(lambda: len(threads) >= count, DEADLINE_S)

    monkeypatch.setattr(irq._event, "wait_readable", noted)
    return waiting


def test_events_that_came_before_are_returned_at_once(
    irq: Interrupt, fire: Callable[..., None]
) -> None:
    fire(times=3)
    assert irq.wait(0) == 3
    assert irq.try_take() == 0


def test_wait_ends_when_an_event_comes(
    irq: Interrupt, fire: Callable[..., None], waiting: Callable[[int], None]
) -> None:
    waiter = Waiter(lambda: irq.wait(DEADLINE_S))
    waiting(1)
    fire()
    assert waiter.result() == 1


def test_wait_lasts_longer_than_one_piece(
    irq: Interrupt, fire: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = []
    monkeypatch.setattr("pymmio.irq.interrupt._PIECE_S", 0.001)
    wait_readable = irq._event.wait_readable

    def counted(timeout_s: float) -> bool:
        pieces.append(timeout_s)
        if len(pieces) == 5:
            fire()
        return wait_readable(timeout_s)

    monkeypatch.setattr(irq._event, "wait_readable", counted)
    assert irq.wait(DEADLINE_S) == 1
    assert pieces == [0.001] * 5


def test_timeout_names_device_vector_and_time(irq: Interrupt) -> None:
    with pytest.raises(DeviceTimeout, match=r"fake msix\[2\]: no interrupt came within 0.01 s"):
        irq.wait(0.01)
    with pytest.raises(TimeoutError):
        irq.wait(0)


@pytest.mark.parametrize("timeout_s", [-1.0, math.nan])
def test_a_timeout_that_is_none_is_refused(irq: Interrupt, timeout_s: float) -> None:
    with pytest.raises(BadArgument):
        irq.wait(timeout_s)


def test_an_event_goes_to_one_of_several_threads(
    irq: Interrupt, fire: Callable[..., None], waiting: Callable[[int], None]
) -> None:
    results: queue.Queue[int] = queue.Queue()
    for _ in range(3):
        Waiter(lambda: results.put(irq.wait(DEADLINE_S)))
    waiting(3)
    for _ in range(3):
        fire()
        assert results.get(timeout=DEADLINE_S) == 1
        assert results.empty()


def test_signal_handlers_run_and_may_end_the_wait(irq: Interrupt) -> None:
    class Interrupted(Exception):
        pass

    def handler(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Interrupted):
            irq.wait(DEADLINE_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert irq._waiters == 0


def test_close_wakes_all_threads_and_the_last_closes_the_descriptor(
    irq: Interrupt,
    irqs: Interrupts,
    descriptors: Descriptors,
    waiting: Callable[[int], None],
) -> None:
    threads = [Waiter(lambda: irq.wait(DEADLINE_S)) for _ in range(3)]
    waiting(3)
    before = descriptors()
    irqs.close()
    for thread in threads:
        outcome = thread.result()
        assert isinstance(outcome, Closed)
        assert "fake msix[2] is switched off" in str(outcome)
    assert descriptors() == before - 3  # vectors 0, 1 and 2


def test_close_leaves_the_descriptor_to_the_thread_that_waits_on_it(
    irq: Interrupt, irqs: Interrupts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else its number could be somebody else's file by the time that the thread polls it.
    waits, is_closed = threading.Event(), threading.Event()
    readable: list[bool] = []
    wait_readable = irq._event.wait_readable

    def closed_meanwhile(timeout_s: float) -> bool:
        waits.set()
        assert is_closed.wait(DEADLINE_S)
        readable.append(wait_readable(timeout_s))
        return True

    monkeypatch.setattr(irq._event, "wait_readable", closed_meanwhile)
    thread = Waiter(lambda: irq.wait(DEADLINE_S))
    assert waits.wait(DEADLINE_S)
    irqs.close()
    is_closed.set()
    assert isinstance(thread.result(), Closed)
    assert readable == [True]
    assert irq._event.closed


def test_close_from_a_signal_handler_during_wait_ends_it(irq: Interrupt, irqs: Interrupts) -> None:
    before = signal.signal(signal.SIGALRM, lambda number, frame: irqs.close())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        with pytest.raises(Closed):
            irq.wait(DEADLINE_S)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_use_after_close_raises(irq: Interrupt, irqs: Interrupts) -> None:
    irqs.close()
    assert irq.closed
    for use in (irq.try_take, irq.fileno, irq.unmask, lambda: irq.wait(0)):
        with pytest.raises(Closed):
            use()
    assert "closed" in repr(irq)


def test_fileno_can_be_polled(irq: Interrupt, fire: Callable[..., None]) -> None:
    poll = select.poll()
    poll.register(irq.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    fire()
    assert poll.poll(60_000) == [(irq.fileno(), select.POLLIN)]


def test_in_a_forked_child_all_use_raises_and_takes_no_event(
    irq: Interrupt, fire: Callable[..., None]
) -> None:
    fire()

    def child() -> None:
        for use in (irq.try_take, irq.fileno, lambda: irq.wait(0)):
            with pytest.raises(ForkedObject, match="parent"):
                use()

    in_forked_child(child)
    assert irq.try_take() == 1


class TestIntx:
    """INTx is level-triggered: the device must be quieted before it is let through again."""

    def test_masked_until_somebody_asks_again(self, irqs: Interrupts, handle: FakeIrq) -> None:
        irq = irqs.intx[0]
        handle.fire(IrqKind.INTX)
        assert irq.wait(0) == 1
        assert handle.is_intx_masked
        assert handle.called("unmask_intx") == []
        assert irq.try_take() == 0
        assert not handle.is_intx_masked
        assert len(handle.called("unmask_intx")) == 1

    def test_one_that_came_while_masked_is_not_lost(
        self, irqs: Interrupts, handle: FakeIrq
    ) -> None:
        irq = irqs.intx[0]
        handle.fire(IrqKind.INTX)
        assert irq.wait(0) == 1
        handle.fire(IrqKind.INTX)
        assert irq.wait(DEADLINE_S) == 1
        with pytest.raises(DeviceTimeout, match=r"intx\[0\]"):
            irq.wait(0)

    def test_asking_without_an_event_unmasks_nothing(
        self, irqs: Interrupts, handle: FakeIrq
    ) -> None:
        for _ in range(2):
            assert irqs.intx[0].try_take() == 0
        assert handle.called("unmask_intx") == []

    def test_unmask_lets_the_next_one_through_for_poll(
        self, irqs: Interrupts, handle: FakeIrq
    ) -> None:
        irq = irqs.intx[0]
        handle.fire(IrqKind.INTX)
        irq.try_take()
        irq.unmask()
        irq.unmask()
        assert len(handle.called("unmask_intx")) == 1
        handle.fire(IrqKind.INTX)
        assert irq.try_take() == 1

    def test_nothing_is_unmasked_once_it_is_being_switched_off(
        self, irqs: Interrupts, handle: FakeIrq, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # VFIO refuses to unmask what is off; who waits must see Closed.
        irq = irqs.intx[0]
        handle.fire(IrqKind.INTX)
        irq.wait(0)

        def ask_meanwhile(kind: IrqKind) -> None:
            with pytest.raises(Closed):
                irq.try_take()

        with monkeypatch.context() as patch:
            patch.setattr(handle, "disable", ask_meanwhile)
            irqs.intx.disable()
        assert handle.called("unmask_intx") == []
        handle.disable(IrqKind.INTX)

    def test_other_kinds_are_never_unmasked(
        self, irq: Interrupt, fire: Callable[..., None], handle: FakeIrq
    ) -> None:
        for _ in range(2):
            fire()
            assert irq.wait(0) == 1
        irq.unmask()
        assert handle.called("unmask_intx") == []

    async def test_awaited_twice(self, irqs: Interrupts, handle: FakeIrq) -> None:
        irq = irqs.intx[0]
        for _ in range(2):
            task = asyncio.create_task(irq.wait_async(timeout_s=DEADLINE_S))
            await asyncio.sleep(0)
            handle.fire(IrqKind.INTX)
            assert await task == 1


class TestAsync:
    async def test_await_returns_the_number_of_events(
        self, irq: Interrupt, fire: Callable[..., None]
    ) -> None:
        fire(times=2)
        assert await irq == 2

    async def test_await_ends_when_an_event_comes(
        self, irq: Interrupt, fire: Callable[..., None]
    ) -> None:
        asyncio.get_running_loop().call_soon(fire)
        assert await irq.wait_async(timeout_s=DEADLINE_S) == 1

    async def test_an_event_from_another_thread_ends_it(
        self, irq: Interrupt, fire: Callable[..., None]
    ) -> None:
        task = asyncio.create_task(irq.wait_async(timeout_s=DEADLINE_S))
        await asyncio.sleep(0)
        await asyncio.to_thread(fire)
        assert await task == 1

    async def test_all_awaiters_of_a_loop_get_the_event(
        self, irq: Interrupt, fire: Callable[..., None], descriptors: Descriptors
    ) -> None:
        before = descriptors()
        tasks = [asyncio.create_task(irq.wait_async(timeout_s=DEADLINE_S)) for _ in range(5)]
        await asyncio.sleep(0)
        assert descriptors() == before + 1
        fire()
        assert await asyncio.gather(*tasks) == [1] * 5
        assert descriptors() == before

    async def test_timeout_names_device_vector_and_time(
        self, irq: Interrupt, descriptors: Descriptors
    ) -> None:
        before = descriptors()
        with pytest.raises(DeviceTimeout, match=r"fake msix\[2\]: no interrupt .* 0.01 s"):
            await irq.wait_async(timeout_s=0.01)
        assert descriptors() == before

    async def test_a_timeout_of_asyncio_around_it_stays_one(self, irq: Interrupt) -> None:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.01):
                await irq
        assert not isinstance(caught.value, DeviceTimeout)

    async def test_cancel_leaves_no_reader_and_the_others_waiting(
        self, irq: Interrupt, fire: Callable[..., None], descriptors: Descriptors
    ) -> None:
        before = descriptors()
        first, second = (asyncio.create_task(irq.wait_async()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        fire()
        assert await asyncio.wait_for(second, DEADLINE_S) == 1
        assert descriptors() == before

    async def test_cancel_after_the_event_was_delivered_gives_it_back(
        self, irq: Interrupt, fire: Callable[..., None]
    ) -> None:
        task = asyncio.create_task(irq.wait_async())
        await asyncio.sleep(0)
        fire(times=3)
        (reader,) = irq._awaiting._readers.values()
        reader._on_readable()  # the loop delivers, and before the task runs it is cancelled
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert irq.try_take() == 3

    async def test_an_event_that_comes_after_delivery_is_not_lost(
        self, irq: Interrupt, fire: Callable[..., None]
    ) -> None:
        task = asyncio.create_task(irq.wait_async())
        await asyncio.sleep(0)
        (reader,) = irq._awaiting._readers.values()
        fire()
        reader._on_readable()
        fire()
        reader._on_readable()  # the loop may call it again before the task has run
        assert await task == 1
        assert irq.try_take() == 1

    async def test_close_wakes_awaiters(
        self, irq: Interrupt, irqs: Interrupts, descriptors: Descriptors
    ) -> None:
        tasks = [asyncio.create_task(irq.wait_async()) for _ in range(2)]
        await asyncio.sleep(0)
        before = descriptors()
        irqs.close()
        for task in tasks:
            with pytest.raises(Closed):
                await asyncio.wait_for(task, DEADLINE_S)
        assert descriptors() == before - 1 - 3  # the reader; vectors 0, 1 and 2

    async def test_close_in_another_thread_wakes_awaiters(
        self, irq: Interrupt, irqs: Interrupts
    ) -> None:
        task = asyncio.create_task(irq.wait_async())
        await asyncio.sleep(0)
        await asyncio.to_thread(irqs.close)
        with pytest.raises(Closed):
            await asyncio.wait_for(task, DEADLINE_S)

    def test_two_loops_in_two_threads_may_await(
        self, irq: Interrupt, fire: Callable[..., None], descriptors: Descriptors
    ) -> None:
        before = descriptors()
        results: queue.Queue[int] = queue.Queue()
        all_wait = threading.Barrier(3, timeout=DEADLINE_S)

        async def main() -> None:
            task = asyncio.create_task(irq.wait_async(timeout_s=DEADLINE_S))
            await asyncio.sleep(0)
            await asyncio.to_thread(all_wait.wait)
            results.put(await task)

        threads = [Waiter(lambda: asyncio.run(main())) for _ in range(2)]
        all_wait.wait()
        for _ in threads:
            fire()
            assert results.get(timeout=DEADLINE_S) == 1
        assert [thread.result() for thread in threads] == [None, None]
        assert descriptors() == before

    async def test_in_a_forked_child_await_raises(self, irq: Interrupt) -> None:
        def child() -> None:
            with pytest.raises(ForkedObject):
                irq.wait_async().send(None)

        in_forked_child(child)
