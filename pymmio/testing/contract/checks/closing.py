"""Close while others poll and wait: they get Closed, nothing crashes, close does not hang."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from pymmio.errors import Closed
from pymmio.handle import CONFIG_REGION
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import Running, raises
from pymmio.testing.contract.subject import Subject


@check(Group.CLOSING)
def close_wakes_who_polls_and_who_waits(subject: Subject) -> None:
    """Polls of registers and waits for interrupts end with Closed when the device is closed."""
    device = subject.open()
    exerciser = subject.kind(device, subject.seconds(10))
    poll = exerciser.never()
    region = device.region(poll.region)
    long_s = subject.seconds(60)
    calls: list[Callable[[], object]] = [
        lambda: region.wait32(poll.offset, mask=poll.mask, value=poll.value, timeout_s=long_s)
    ] * 3
    if kinds := exerciser.kinds():
        vector = device.irqs.of_kind(kinds[0])[0]
        calls += [lambda: vector.wait(timeout_s=long_s)] * 2
    running = Running(*calls)
    start = time.monotonic()
    device.close()
    took = time.monotonic() - start
    outcomes = [type(outcome) for outcome in running.outcomes(subject.seconds(20), "a waiter")]
    assert outcomes == [Closed] * len(calls), outcomes
    assert took < subject.seconds(20), f"close took {took:.1f} s"


@check(Group.CLOSING)
def close_under_heavy_use_is_closed_and_nothing_else(subject: Subject) -> None:
    """Threads that read and write all the time get Closed, no crash and no other error."""
    for _ in range(3):
        device = subject.open()
        exerciser = subject.kind(device, subject.seconds(10))
        bar, config = exerciser.bar, device.region(CONFIG_REGION)
        window = bar.window(0, 64)
        doorbell = bar.window(0, 64).doorbell(56)
        begun = threading.Barrier(5)

        def use(
            call: Callable[[], object], begun: threading.Barrier = begun
        ) -> Callable[[], object]:
            def run() -> None:
                call()
                begun.wait(30)
                while True:
                    call()

            return run

        running = Running(
            use(lambda b=bar: b.read32(0)),  # type: ignore[misc]
            use(lambda w=window: w.read32(0)),  # type: ignore[misc]
            use(lambda c=config: c.read32(0)),  # type: ignore[misc]
            use(lambda b=bar: b.read_block(0, 4, width=4)),  # type: ignore[misc]
        )
        begun.wait(30)
        device.close()
        outcomes = running.outcomes(subject.seconds(30), "a user")
        assert [type(o) for o in outcomes] == [Closed] * 4, outcomes
        raises(Closed, lambda d=doorbell: d.ring(1))  # type: ignore[misc]


@check(Group.CLOSING, Ability.INTERRUPTS)
def close_ends_coroutines(subject: Subject) -> None:
    """A coroutine that awaits an interrupt gets Closed when another thread closes the device."""
    device = subject.open()
    exerciser = subject.kind(device, subject.seconds(10))
    vector = device.irqs.of_kind(exerciser.kinds()[0])[0]

    async def run() -> object:
        task = asyncio.create_task(vector.wait_async(timeout_s=subject.seconds(60)))
        await asyncio.sleep(0)
        await asyncio.to_thread(device.close)
        return (await asyncio.gather(task, return_exceptions=True))[0]

    try:
        outcome = asyncio.run(run())
    finally:
        device.close()
    assert type(outcome) is Closed, repr(outcome)


@check(Group.CLOSING)
def several_threads_may_close(subject: Subject) -> None:
    """Closing from several threads closes once; nobody gets an error."""
    device = subject.open()
    device.region(subject.kind.fixed[0].region).read32(0)
    outcomes = Running(*[device.close] * 4).outcomes(subject.seconds(30), "a closer")
    assert outcomes == [None] * 4, outcomes
    assert device.closed
    with subject.exerciser() as again:
        again.prove()


@check(Group.CLOSING)
def a_waiter_may_close(subject: Subject) -> None:
    """The thread that was woken by Closed may close the device itself."""
    device = subject.open()
    exerciser = subject.kind(device, subject.seconds(10))
    poll = exerciser.never()
    region = device.region(poll.region)

    def wait_and_close() -> str:
        try:
            region.wait32(poll.offset, mask=poll.mask, value=poll.value, timeout_s=60)
        except Closed:
            device.close()
            return "closed"
        return "not closed"

    running = Running(wait_and_close)
    device.close()
    assert running.outcomes(subject.seconds(30), "the waiter") == ["closed"]


@check(Group.CLOSING)
def doorbells_are_closed_with_the_device(subject: Subject) -> None:
    """A doorbell of a closed device raises Closed and touches nothing."""
    with subject.open() as device:
        doorbells = [
            device.region(echo.region).doorbell(echo.offset & ~3) for echo in subject.kind.echoes
        ]
    for doorbell in doorbells:
        raises(Closed, lambda d=doorbell: d.ring(0))  # type: ignore[misc]


@check(Group.CLOSING, Ability.DMA)
def close_while_the_device_works_frees_nothing_early(subject: Subject) -> None:
    """Closing a device that is at work takes the memory away first: views stay readable."""
    device = subject.open()
    exerciser = subject.kind(device, subject.seconds(10))
    exerciser.start()
    size = exerciser.unit
    buffer = exerciser.alloc(4096)
    with memoryview(buffer) as first:
        first[:size] = b"\x4d" * size
    assert exerciser.fetch(buffer.iova, size)
    view = memoryview(buffer)
    device.close()
    assert bytes(view[:size]) == b"\x4d" * size
    view.release()
