"""Fork: the child's objects raise, and release nothing of the parent's."""

from __future__ import annotations

import gc
from collections.abc import Callable

from pymmio.errors import DeviceBusy, ForkedObject
from pymmio.handle import CONFIG_REGION
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import in_forked_child, raises
from pymmio.testing.contract.subject import Subject


def _has_dma(subject: Subject) -> bool:
    return Ability.DMA in subject.kind.abilities and Ability.DMA not in subject.lacks


@check(Group.FORK)
def a_forked_child_neither_uses_nor_releases(subject: Subject) -> None:
    """In a forked child everything raises ForkedObject; the parent goes on as before."""
    with subject.exerciser() as exerciser:
        device, bar = exerciser.device, exerciser.bar
        echo = exerciser.echoes[0]
        config = device.region(CONFIG_REGION)
        buffer = exerciser.alloc(4096) if _has_dma(subject) else None
        kinds = exerciser.kinds()
        vector = device.irqs.of_kind(kinds[0])[0] if kinds else None
        exerciser.echo(echo, 0x1F1F1000)
        doorbell = bar.doorbell(0)
        calls: dict[str, Callable[[], object]] = {
            "a register": lambda: bar.read32(0),
            "a write": lambda: device.region(echo.region).write(echo.offset, echo.width, 0),
            "configuration space": lambda: config.read32(0),
            "a region": lambda: device.region(CONFIG_REGION),
            "a window": lambda: bar.window(0, 8),
            "a poll": lambda: bar.wait32(0, mask=0, value=0, timeout_s=0),
            "a reset": device.reset,
            "bus mastering": device.enable_bus_master,
        }
        if buffer is not None:
            calls["a buffer"] = lambda: buffer.iova
            calls["memory"] = lambda: device.dma.alloc(4096)
        if vector is not None:
            calls["a vector"] = lambda: vector.wait(timeout_s=0)
            calls["interrupts"] = lambda: device.irqs.of_kind(kinds[0]).disable()

        def child() -> None:
            for what, call in calls.items():
                raises(ForkedObject, call, f"{what} in the child")
            doorbell.close()
            if buffer is not None:
                buffer.close()
            device.close()

        in_forked_child(child)
        seen = device.region(echo.region).read(echo.offset, echo.width) & echo.mask
        assert seen == echo.shows(0x1F1F1000 & echo.mask), "the child wrote to the device"
        exerciser.prove()
        exerciser.echo(echo, 0x2E2E2000)


@check(Group.FORK, Ability.DMA)
def memory_of_the_parent_stays_mapped(subject: Subject) -> None:
    """After a child has closed all and ended, the device still reaches the parent's memory."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size = exerciser.unit
        buffer = exerciser.alloc(4096)
        with memoryview(buffer) as view:
            view[:size] = b"\x5c" * size

        def child() -> None:
            buffer.close()
            exerciser.device.dma.close()
            exerciser.device.close()
            gc.collect()

        in_forked_child(child)
        assert exerciser.fetch(buffer.iova, size)
        assert exerciser.store(buffer.iova + 2048, size)
        assert bytes(buffer)[2048 : 2048 + size] == b"\x5c" * size
        exerciser.stop()
        buffer.close()


@check(Group.FORK, Ability.INTERRUPTS)
def interrupts_of_the_parent_still_arrive(subject: Subject) -> None:
    """After a child has closed all and ended, interrupts arrive at the parent."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.kinds()[0])

        def child() -> None:
            exerciser.device.irqs.close()
            exerciser.device.close()

        in_forked_child(child)
        exerciser.fire()
        assert vector.wait(timeout_s=subject.seconds(10)) >= 1
        exerciser.acknowledge()


@check(Group.FORK)
def a_child_that_forgets_releases_nothing(subject: Subject) -> None:
    """A child whose objects are collected leaves the parent's device alone."""
    with subject.exerciser() as exerciser:
        held = {"device": exerciser.device, "bar": exerciser.bar}

        def child() -> None:
            held.clear()
            exerciser.device = None  # type: ignore[assignment]
            gc.collect()

        in_forked_child(child)
        exerciser.prove()
        for echo in exerciser.echoes:
            exerciser.echo(echo, 0x3D3D3D3D3D3D3D3D)


@check(Group.FORK)
def a_child_may_open_the_device_itself(subject: Subject) -> None:
    """A child opens the device anew: after the parent closed it, or it is told DeviceBusy."""
    subject.open().close()

    def child() -> None:
        with subject.exerciser() as exerciser:
            exerciser.prove()

    in_forked_child(child)

    def beside() -> None:
        try:
            child()
        except DeviceBusy:
            return

    with subject.exerciser() as exerciser:
        in_forked_child(beside)
        exerciser.prove()


@check(Group.FORK)
def forking_while_threads_use_the_device_is_safe(subject: Subject) -> None:
    """A child that is made while a thread uses the device is not stuck by that thread's locks."""
    import threading

    with subject.exerciser() as exerciser:
        done = threading.Event()

        def use() -> None:
            while not done.is_set():
                exerciser.prove()

        thread = threading.Thread(target=use, daemon=True)
        thread.start()

        def child() -> None:
            raises(ForkedObject, lambda: exerciser.bar.read32(0))
            exerciser.device.close()

        try:
            for _ in range(3):
                in_forked_child(child)
        finally:
            done.set()
            thread.join(subject.seconds(30))
        assert not thread.is_alive()
        exerciser.prove()
