"""Waiting for interrupts: threads, coroutines, descriptors; each event is taken once."""

from __future__ import annotations

import asyncio
import os
import select

from pymmio.errors import BadArgument, Closed, DeviceTimeout
from pymmio.handle import IrqKind
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.devices.base import QUIET_S
from pymmio.testing.contract.expect import Running, raises
from pymmio.testing.contract.subject import Subject


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def a_waiter_is_woken(subject: Subject) -> None:
    """An interrupt wakes a thread that has been waiting for it."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.kinds()[0])
        waiting = Running(lambda: vector.wait(timeout_s=subject.seconds(20)))
        exerciser.fire()
        (events,) = waiting.outcomes(subject.seconds(30), "a waiter")
        assert events == 1, events
        exerciser.acknowledge()


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def waits_time_out(subject: Subject) -> None:
    """A wait for what does not come raises DeviceTimeout; a time that is none is refused."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.kinds()[0])
        error = raises(DeviceTimeout, lambda: vector.wait(timeout_s=0))
        assert error.hint
        raises(BadArgument, lambda: vector.wait(timeout_s=-1))
        raises(BadArgument, lambda: vector.wait(timeout_s=float("nan")))


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def coroutines_can_wait(subject: Subject) -> None:
    """An interrupt ends an await, for all coroutines that await it; time-outs work there too."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.kinds()[0])

        async def run() -> None:
            waits = [asyncio.create_task(vector.wait_async(timeout_s=30)) for _ in range(3)]
            await asyncio.sleep(0)
            exerciser.fire()
            assert await asyncio.gather(*waits) == [1, 1, 1]
            exerciser.acknowledge()
            vector.try_take()
            try:
                await vector.wait_async(timeout_s=QUIET_S)
            except DeviceTimeout:
                return
            raise AssertionError("an interrupt came that nobody raised")

        asyncio.run(run())


@check(Group.INTERRUPTS, Ability.MESSAGES)
def a_cancelled_await_loses_nothing(subject: Subject) -> None:
    """An event that comes after an await was cancelled is there for the next one."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.message_kinds()[0])

        async def run() -> None:
            task = asyncio.create_task(vector.wait_async())
            await asyncio.sleep(0)
            exerciser.fire()
            task.cancel()
            taken = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(taken, asyncio.CancelledError):
                assert await vector.wait_async(timeout_s=subject.seconds(10)) == 1
            exerciser.acknowledge()

        asyncio.run(run())


@check(Group.INTERRUPTS, Ability.MESSAGES)
def an_event_goes_to_one_thread(subject: Subject) -> None:
    """Of several threads that wait one gets the event, the others wait on."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.message_kinds()[0])
        waiting = Running(*[lambda: vector.wait(timeout_s=subject.seconds(1))] * 3)
        exerciser.fire()
        outcomes = waiting.outcomes(subject.seconds(30), "a waiter")
        got = [outcome for outcome in outcomes if isinstance(outcome, int)]
        late = [outcome for outcome in outcomes if isinstance(outcome, DeviceTimeout)]
        assert (got, len(late)) == ([1], 2), outcomes
        exerciser.acknowledge()


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def a_vector_can_be_polled(subject: Subject) -> None:
    """The descriptor of a vector is readable while events are counted."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.kinds()[0])
        assert not select.select([vector.fileno()], [], [], 0)[0]
        exerciser.fire()
        assert select.select([vector.fileno()], [], [], subject.seconds(10))[0]
        exerciser.acknowledge()
        assert vector.try_take() == 1
        vector.unmask()


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def disable_wakes_who_waits(subject: Subject) -> None:
    """Switching a kind off ends waits with Closed, and it can be switched on again."""
    with subject.exerciser() as exerciser:
        kind = exerciser.kinds()[0]
        (vector,) = exerciser.begin(kind)
        waiting = Running(lambda: vector.wait(timeout_s=subject.seconds(60)))
        exerciser.device.irqs.of_kind(kind).disable()
        (outcome,) = waiting.outcomes(subject.seconds(20), "a waiter")
        assert type(outcome) is Closed, outcome
        raises(Closed, vector.try_take)
        again = exerciser.device.irqs.of_kind(kind)[0]
        exerciser.stop()
        exerciser.start(1)
        while again.try_take():
            exerciser.acknowledge()
        exerciser.fire()
        assert again.wait(timeout_s=subject.seconds(10)) >= 1
        exerciser.acknowledge()


@check(Group.INTERRUPTS, Ability.VECTORS)
def more_vectors_can_be_added(subject: Subject) -> None:
    """A vector stays what it was when others are switched on beside it, in any order."""
    with subject.exerciser() as exerciser:
        vectors = exerciser.device.irqs.msix
        chosen = vectors.enable_only([1])[1]
        exerciser.start(2)
        while chosen.try_take():
            pass
        exerciser.fire(1)
        assert chosen.wait(timeout_s=subject.seconds(10)) == 1
        exerciser.acknowledge(1)
        first = vectors[0]
        assert vectors[1] is chosen
        exerciser.fire(1)
        assert chosen.wait(timeout_s=subject.seconds(10)) == 1
        exerciser.acknowledge(1)
        while first.try_take():
            pass
        exerciser.fire(0)
        assert first.wait(timeout_s=subject.seconds(10)) >= 1
        exerciser.acknowledge(0)
        assert vectors.kind is IrqKind.MSIX


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def switching_on_and_off_leaves_nothing(subject: Subject) -> None:
    """A vector that is switched on and off leaves no descriptor."""
    with subject.exerciser() as exerciser:
        vectors = exerciser.device.irqs.of_kind(exerciser.kinds()[0])
        vectors.enable(1)
        vectors.disable()
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(5):
            vectors.enable(1)
            vectors.disable()
        assert sorted(os.listdir("/proc/self/fd")) == before
