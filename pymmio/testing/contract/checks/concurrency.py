"""Several threads with one device: each gets what is its own, nobody waits for all."""

from __future__ import annotations

import os
import signal
import threading
import time

from pymmio.handle import CONFIG_REGION
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import Running, together
from pymmio.testing.contract.subject import Subject

_THREADS = 4


@check(Group.CONCURRENCY)
def threads_may_share_a_region(subject: Subject) -> None:
    """Threads that read registers of one region each read what is there."""
    with subject.exerciser() as exerciser:
        echo = exerciser.echoes[0]
        region = exerciser.device.region(echo.region)
        exerciser.echo(echo, 0x05A5A000)
        written = echo.shows(0x05A5A000 & echo.mask)

        def fixed() -> None:
            for _ in range(100):
                exerciser.prove()

        def shown() -> None:
            for _ in range(100):
                seen = region.read(echo.offset, echo.width) & echo.mask
                assert seen == written, f"{seen:#x} instead of {written:#x}"

        together([fixed, shown] * (_THREADS // 2), subject.seconds(60), "readers")


@check(Group.CONCURRENCY)
def threads_may_use_different_regions(subject: Subject) -> None:
    """Registers and configuration space can be used at the same time."""
    with subject.exerciser() as exerciser:
        config = exerciser.device.region(CONFIG_REGION)
        identity = config.read32(0)
        echo = exerciser.echoes[0]

        def registers() -> None:
            for number in range(100):
                exerciser.echo(echo, number << 12)

        def configuration() -> None:
            for _ in range(100):
                assert config.read32(0) == identity

        together([registers, configuration, configuration], subject.seconds(60), "users")


@check(Group.CONCURRENCY, Ability.SCRATCH)
def writes_of_threads_do_not_mix(subject: Subject) -> None:
    """Each thread reads back what it wrote, in accesses of each width."""
    with subject.exerciser() as exerciser:
        for index in exerciser.scratch:
            region = exerciser.device.region(index)

            def write(number: int, region: object = region) -> None:
                width = (1, 2, 4, 8)[number % 4]
                for turn in range(100):
                    value = (number + 1) * 37 * (turn + 1) & ((1 << 8 * width) - 1)
                    region.write(64 * number, width, value)  # type: ignore[attr-defined]
                    seen = region.read(64 * number, width)  # type: ignore[attr-defined]
                    assert seen == value, (number, hex(seen), hex(value))

            together(
                [lambda n=n, w=write: w(n) for n in range(_THREADS)],  # type: ignore[misc]
                subject.seconds(60),
                "writers",
            )


@check(Group.CONCURRENCY)
def a_poller_keeps_nobody_waiting(subject: Subject) -> None:
    """While one thread polls for something that never comes, others go on as before."""
    with subject.open() as device:
        exerciser = subject.kind(device, subject.seconds(10))
        poll = exerciser.never()
        region = device.region(poll.region)
        polling = Running(
            lambda: region.wait32(
                poll.offset, mask=poll.mask, value=poll.value, timeout_s=subject.seconds(120)
            )
        )
        start = time.monotonic()
        for _ in range(50):
            exerciser.prove()
            device.region(CONFIG_REGION).read32(0)
        took = time.monotonic() - start
        device.close()
        polling.outcomes(subject.seconds(30), "the poller")
        assert took < subject.seconds(10), f"100 accesses took {took:.1f} s beside a poller"


@check(Group.CONCURRENCY, Ability.INTERRUPTS)
def a_waiter_keeps_nobody_waiting(subject: Subject) -> None:
    """While one thread waits for an interrupt, others use the device."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.kinds()[0])
        waiting = Running(lambda: vector.wait(timeout_s=subject.seconds(60)))
        for _ in range(20):
            exerciser.prove()
        exerciser.fire()
        assert waiting.outcomes(subject.seconds(30), "the waiter") == [1]
        exerciser.acknowledge()


@check(Group.CONCURRENCY, Ability.DMA)
def threads_may_allocate(subject: Subject) -> None:
    """Threads that allocate and free at the same time get memory of their own."""
    with subject.open() as device:

        def use(number: int) -> None:
            for turn in range(10):
                mark = bytes([number + 1, turn])
                with device.dma.alloc(4096 * (1 + turn % 3)) as buffer:
                    with memoryview(buffer) as view:
                        assert bytes(view) == bytes(len(view))
                        view[:2] = mark
                    time.sleep(0)
                    assert bytes(buffer)[:2] == mark

        together(
            [lambda n=n: use(n) for n in range(_THREADS)],  # type: ignore[misc]
            subject.seconds(60),
            "allocators",
        )
        assert device.dma.mapped_bytes == 0


@check(Group.CONCURRENCY, Ability.DMA)
def memory_can_be_allocated_while_the_device_works(subject: Subject) -> None:
    """Mappings come and go while the device reads and writes another one."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size, done = exerciser.unit, threading.Event()
        buffer = exerciser.alloc(4096)

        def allocate() -> int:
            count = 0
            while not done.is_set():
                exerciser.alloc(8192).close()
                count += 1
            return count

        def transfer() -> None:
            try:
                for turn in range(5):
                    with memoryview(buffer) as view:
                        view[:size] = bytes([turn + 1]) * size
                    assert exerciser.fetch(buffer.iova, size)
                    assert exerciser.store(buffer.iova + 2048, size)
                    assert bytes(buffer)[2048 : 2048 + size] == bytes([turn + 1]) * size
            finally:
                done.set()

        together([allocate, transfer], subject.seconds(60), "an allocator beside transfers")
        exerciser.stop()
        buffer.close()


@check(Group.CONCURRENCY)
def signals_end_a_poll(subject: Subject) -> None:
    """An exception that a signal's handler raises (Ctrl-C) ends a poll soon."""
    if threading.current_thread() is not threading.main_thread():
        return  # Python runs handlers in the main thread

    class _Signalled(Exception):
        pass

    def handle(number: int, frame: object) -> None:
        raise _Signalled

    with subject.exerciser() as exerciser:
        poll = exerciser.never()
        region = exerciser.device.region(poll.region)
        former = signal.signal(signal.SIGUSR1, handle)
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        start = time.monotonic()
        try:
            region.wait32(
                poll.offset, mask=poll.mask, value=poll.value, timeout_s=subject.seconds(60)
            )
        except _Signalled:
            took = time.monotonic() - start
        else:
            raise AssertionError("the poll ended by itself")
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, former)
        assert took < subject.seconds(10), f"the poll went on for {took:.1f} s"
        exerciser.prove()
