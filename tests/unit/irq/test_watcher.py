"""Callbacks for REQ and ERR: who is called, when, and what happens to errors."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator

import pytest

from pymmio.errors import Closed, DmaError, ForkedObject, Unsupported
from pymmio.handle import IrqKind
from pymmio.irq import EventWatcher, Interrupts
from pymmio.testing.fakes import FakeIrq
from tests.children import in_forked_child

SOON_S = 20


class Rig:
    def __init__(self) -> None:
        self.fake = FakeIrq({IrqKind.REQ: 1, IrqKind.ERR: 1, IrqKind.MSIX: 2})
        self.irqs = Interrupts(self.fake, name="dev")
        self.first: list[IrqKind] = []
        self.watcher = EventWatcher(self.irqs, first=self.first.append)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.watcher.close()
    rig.irqs.close()
    names = [thread.name for thread in threading.enumerate()]
    assert "pymmio events of dev" not in names


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What threading.excepthook was told."""
    found: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(str(args.exc_value)))
    return found


def counter() -> tuple[Callable[[], None], threading.Semaphore]:
    calls = threading.Semaphore(0)
    return lambda: calls.release(), calls


def test_nothing_runs_before_somebody_subscribes(rig: Rig) -> None:
    assert not rig.fake.enabled
    assert rig.watcher._thread is None


def test_each_event_calls_the_subscribers_of_its_kind(rig: Rig) -> None:
    on_request, requests = counter()
    on_error, errors = counter()
    rig.watcher.subscribe(IrqKind.REQ, on_request)
    rig.watcher.subscribe(IrqKind.ERR, on_error)
    rig.fake.fire(IrqKind.REQ)
    assert requests.acquire(timeout=SOON_S)
    rig.fake.fire(IrqKind.ERR)
    assert errors.acquire(timeout=SOON_S)
    rig.fake.fire(IrqKind.REQ)
    assert requests.acquire(timeout=SOON_S)
    assert rig.first == [IrqKind.REQ, IrqKind.ERR, IrqKind.REQ]
    assert not errors.acquire(blocking=False)


def test_who_waits_for_the_vector_gets_the_event_too(rig: Rig) -> None:
    before = rig.irqs.req[0]
    call, calls = counter()
    rig.watcher.subscribe(IrqKind.REQ, call)
    rig.fake.fire(IrqKind.REQ)
    assert before.wait(timeout_s=SOON_S) == 1
    rig.watcher.subscribe(IrqKind.ERR, call)
    behind = rig.irqs.err[0]  # taken while it is watched

    async def both() -> list[int]:
        waiting = asyncio.gather(
            before.wait_async(timeout_s=SOON_S), behind.wait_async(timeout_s=SOON_S)
        )
        await asyncio.sleep(0)
        rig.fake.fire(IrqKind.REQ)
        rig.fake.fire(IrqKind.ERR)
        return await waiting

    assert asyncio.run(both()) == [1, 1]
    assert all(calls.acquire(timeout=SOON_S) for _ in range(3))


def test_a_tap_that_may_still_be_signalled_stays_open(rig: Rig) -> None:
    for kind in (IrqKind.REQ, IrqKind.ERR):
        rig.watcher.subscribe(kind, lambda: None)
    (tap,) = rig.fake.enabled[IrqKind.REQ]
    rig.fake.fail_next("disable", DmaError("injected"))
    with pytest.raises(DmaError, match="injected"):
        rig.watcher.close()
    assert list(rig.fake.enabled) == [IrqKind.REQ]  # the other one is off
    os.fstat(tap)
    rig.irqs.close()  # asks again
    assert rig.fake.enabled == {}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(tap)


def test_a_tap_that_is_signalled_until_the_end_is_closed_then(rig: Rig) -> None:
    rig.watcher.subscribe(IrqKind.REQ, lambda: None)
    (tap,) = rig.fake.enabled[IrqKind.REQ]
    for close in (rig.watcher.close, rig.irqs.close):
        rig.fake.fail_next("disable", DmaError("injected"))
        with pytest.raises(DmaError, match="injected"):
            close()
        os.fstat(tap)
    rig.irqs._let_go()  # as the device does when its handle is closed
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(tap)


def test_after_the_watcher_the_vector_gets_its_events_from_the_backend(rig: Rig) -> None:
    vector = rig.irqs.req[0]
    rig.watcher.subscribe(IrqKind.REQ, lambda: None)
    rig.watcher.close()
    rig.fake.fire(IrqKind.REQ)
    assert vector.wait(timeout_s=SOON_S) == 1


def test_a_callback_that_raises_is_reported_and_the_next_one_is_called(
    rig: Rig, reported: list[str]
) -> None:
    def fail() -> None:
        raise RuntimeError("by the callback")

    call, calls = counter()
    rig.watcher.subscribe(IrqKind.REQ, fail)
    rig.watcher.subscribe(IrqKind.REQ, call)
    for _ in range(2):
        rig.fake.fire(IrqKind.REQ)
        assert calls.acquire(timeout=SOON_S)
    assert reported == ["by the callback"] * 2


def test_a_closed_subscription_is_called_no_more(rig: Rig) -> None:
    once, once_calls = counter()
    call, calls = counter()
    subscription = rig.watcher.subscribe(IrqKind.REQ, once)
    rig.watcher.subscribe(IrqKind.REQ, call)
    rig.fake.fire(IrqKind.REQ)
    assert calls.acquire(timeout=SOON_S)
    subscription.close()
    subscription.close()
    rig.fake.fire(IrqKind.REQ)
    assert calls.acquire(timeout=SOON_S)
    assert once_calls.acquire(blocking=False)
    assert not once_calls.acquire(blocking=False)


def test_a_callback_may_close_the_watcher(rig: Rig) -> None:
    closed = threading.Event()

    def close() -> None:
        rig.watcher.close()
        closed.set()

    rig.watcher.subscribe(IrqKind.REQ, close)
    thread = rig.watcher._thread
    rig.fake.fire(IrqKind.REQ)
    assert closed.wait(SOON_S)
    assert thread is not None
    thread.join(SOON_S)
    assert not thread.is_alive()
    assert not rig.fake.enabled


def test_a_device_without_the_event_says_so() -> None:
    irqs = Interrupts(FakeIrq({IrqKind.MSIX: 2}), name="dev")
    watcher = EventWatcher(irqs, first=lambda kind: None)
    with pytest.raises(Unsupported, match="dev has no err interrupts"):
        watcher.subscribe(IrqKind.ERR, lambda: None)
    watcher.close()
    irqs.close()


def test_a_backend_that_fails_leaves_no_tap(rig: Rig) -> None:
    rig.fake.fail_next("enable", OSError(5, "injected"))
    with pytest.raises(OSError, match="injected"):
        rig.watcher.subscribe(IrqKind.REQ, lambda: None)
    call, calls = counter()
    rig.watcher.subscribe(IrqKind.REQ, call)
    rig.fake.fire(IrqKind.REQ)
    assert calls.acquire(timeout=SOON_S)


def test_after_close_nobody_subscribes(rig: Rig) -> None:
    rig.watcher.close()
    rig.watcher.close()
    with pytest.raises(Closed):
        rig.watcher.subscribe(IrqKind.REQ, lambda: None)


def test_a_forked_child_neither_watches_nor_takes_events(rig: Rig) -> None:
    call, calls = counter()
    rig.watcher.subscribe(IrqKind.REQ, call)

    def child() -> None:
        with pytest.raises(ForkedObject):
            rig.watcher.subscribe(IrqKind.REQ, call)
        rig.watcher.close()

    in_forked_child(child)
    rig.fake.fire(IrqKind.REQ)
    assert calls.acquire(timeout=SOON_S)


def test_closing_the_interrupts_first_is_fine(rig: Rig) -> None:
    rig.watcher.subscribe(IrqKind.REQ, lambda: None)
    rig.irqs.close()
    assert not rig.fake.enabled
