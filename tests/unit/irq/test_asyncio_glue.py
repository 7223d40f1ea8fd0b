from __future__ import annotations

import asyncio

import pytest

from pymmio.irq import EventFd
from pymmio.irq.asyncio_glue import AsyncWaiters


async def test_a_reader_exists_only_while_somebody_waits() -> None:
    with EventFd() as event:
        waiters = AsyncWaiters(event.try_take)
        first = waiters.join(event.fileno())
        second = waiters.join(event.fileno())
        waiters.leave(first)
        event.signal(2)
        assert await asyncio.wait_for(second, 60) == 2
        loop = asyncio.get_running_loop()
        fd = waiters._readers[loop]._fd
        waiters.leave(second)
        assert waiters._readers == {}
        assert not loop.remove_reader(fd)


async def test_events_that_somebody_else_took_leave_the_future_waiting() -> None:
    taken = [0, 5]
    with EventFd() as event:
        waiters = AsyncWaiters(lambda: taken.pop(0))
        future = waiters.join(event.fileno())
        event.signal()
        assert await asyncio.wait_for(future, 60) == 5
        assert taken == []
        waiters.leave(future)


async def test_what_take_raises_goes_to_every_future() -> None:
    def take() -> int:
        raise LookupError("gone")

    with EventFd() as event:
        waiters = AsyncWaiters(take)
        futures = [waiters.join(event.fileno()) for _ in range(2)]
        event.signal()
        for future in futures:
            with pytest.raises(LookupError, match="gone"):
                await asyncio.wait_for(future, 60)
            waiters.leave(future)


async def test_the_original_descriptor_may_be_closed_first() -> None:
    event = EventFd()
    waiters = AsyncWaiters(lambda: 1)
    future = waiters.join(event.fileno())
    event.signal()
    event.close()
    assert await asyncio.wait_for(future, 60) == 1
    waiters.leave(future)


async def test_no_descriptor_is_left_when_the_loop_takes_no_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()

    def refuse(*arguments: object) -> None:
        raise NotImplementedError("injected")

    with EventFd() as event:
        waiters = AsyncWaiters(event.try_take)
        closed: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(loop, "add_reader", refuse)
            patch.setattr("os.dup", lambda fd: 12345)
            patch.setattr("os.close", closed.append)
            with pytest.raises(NotImplementedError):
                waiters.join(event.fileno())
        assert closed == [12345]
        assert waiters._readers == {}
