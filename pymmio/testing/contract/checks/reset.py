"""Reset: the function is as new, and what the program set up is still there."""

from __future__ import annotations

import threading

from pymmio.errors import Closed, Unsupported
from pymmio.handle import CONFIG_REGION
from pymmio.pci import Command
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import Running, raises
from pymmio.testing.contract.footprint import leaves_nothing
from pymmio.testing.contract.subject import Subject


@check(Group.RESET)
def reset_resets_or_says_why_not(subject: Subject) -> None:
    """A reset works, or raises Unsupported with a hint; the device answers afterwards."""
    with subject.exerciser() as exerciser:
        refused: Unsupported | None = None
        try:
            exerciser.device.reset()
        except Unsupported as error:
            refused = error
        assert refused is None or refused.hint, refused
        exerciser.prove()


@check(Group.RESET)
def ways_to_reset_are_told(subject: Subject) -> None:
    """reset_methods names a way just where reset works, and what was looked at in vain."""
    with subject.open() as device:
        methods = device.reset_methods()
        assert methods.looked_at, "nothing was looked at"
        try:
            device.reset()
            works = True
        except Unsupported:
            works = False
        assert works == bool(list(methods)), f"reset works: {works}; told: {list(methods)}"


@check(Group.RESET, Ability.RESET)
def reset_gives_a_new_device(subject: Subject) -> None:
    """State that the program made is gone; registers answer."""
    with subject.exerciser() as exerciser:
        exerciser.make_unlike_new()
        assert not exerciser.is_like_new(), "nothing was changed before the reset"
    with subject.exerciser() as exerciser:
        exerciser.make_unlike_new()
        exerciser.device.reset()
        assert exerciser.is_like_new(), "the device remembers what was before the reset"
        exerciser.prove()
        for echo in exerciser.echoes:
            exerciser.echo(echo, 0x5A5A5A5A5A5A5A5A)


@check(Group.RESET, Ability.RESET)
def reset_leaves_decoding_on_and_mastering_off(subject: Subject) -> None:
    """After a reset the device answers and does not access memory; addresses are kept."""
    with subject.open() as device:
        device.enable_bus_master()
        bars = device.config.bars()
        device.reset()
        command = device.config.command
        assert command & Command.MEMORY, f"COMMAND is {command!r}: the device does not answer"
        assert not command & Command.BUS_MASTER, f"COMMAND is {command!r}: the device may go on"
        assert device.config.bars() == bars


@check(Group.RESET, Ability.RESET)
def reset_can_be_repeated(subject: Subject) -> None:
    """Several resets leave nothing behind and the device usable."""
    with subject.exerciser() as exerciser:
        exerciser.device.reset()
        with leaves_nothing("a reset"):
            for _ in range(3):
                exerciser.device.reset()
        exerciser.prove()


@check(Group.RESET, Ability.RESET, Ability.DMA)
def memory_stays_mapped_over_a_reset(subject: Subject) -> None:
    """Buffers keep contents and addresses; the device reaches them when it is started again."""
    with subject.exerciser() as exerciser:
        exerciser.start()
        size = exerciser.unit
        buffer = exerciser.alloc(4096)
        iova = buffer.iova
        with memoryview(buffer) as view:
            view[:size] = b"\x3a" * size
        exerciser.device.reset()
        assert buffer.iova == iova
        assert bytes(buffer)[:size] == b"\x3a" * size
        exerciser.start()
        assert exerciser.fetch(buffer.iova, size)
        assert exerciser.store(buffer.iova + 2048, size)
        assert bytes(buffer)[2048 : 2048 + size] == b"\x3a" * size
        exerciser.stop()
        buffer.close()


@check(Group.RESET, Ability.RESET, Ability.INTERRUPTS)
def interrupts_stay_on_over_a_reset(subject: Subject) -> None:
    """What was switched on before a reset delivers after it."""
    with subject.open() as device:
        for kind in subject.kind(device, subject.seconds(10)).kinds():
            with subject.exercise(device) as exerciser:
                exerciser.begin(kind)
                device.reset()
                (vector,) = exerciser.begin(kind)
                exerciser.fire()
                assert vector.wait(timeout_s=subject.seconds(10)) >= 1, kind
                exerciser.acknowledge()
                exerciser.stop()
                device.irqs.of_kind(kind).disable()


@check(Group.RESET, Ability.RESET, Ability.INTERRUPTS)
def interrupts_can_be_switched_on_after_a_reset(subject: Subject) -> None:
    """Interrupts that were off during a reset can be switched on after it."""
    with subject.open() as device:
        for kind in subject.kind(device, subject.seconds(10)).kinds():
            device.reset()
            with subject.exercise(device) as exerciser:
                (vector,) = exerciser.begin(kind)
                exerciser.fire()
                assert vector.wait(timeout_s=subject.seconds(10)) >= 1, kind
                exerciser.acknowledge()
                exerciser.stop()
                device.irqs.of_kind(kind).disable()


@check(Group.RESET, Ability.RESET)
def accesses_of_other_threads_wait_for_a_reset(subject: Subject) -> None:
    """A thread that reads all the time gets no error when another resets the device."""
    with subject.exerciser() as exerciser:
        device, done = exerciser.device, threading.Event()
        fixed, config = exerciser.fixed[0], device.region(CONFIG_REGION)
        region, identity = device.region(fixed.region), config.read32(0)

        def read() -> int:
            reads = 0
            while not done.is_set():
                value = region.read(fixed.offset, fixed.width)
                assert value & fixed.mask == fixed.value, f"{value:#x} during a reset"
                assert config.read32(0) == identity
                reads += 1
            return reads

        def reset() -> None:
            try:
                for _ in range(3):
                    device.reset()
            finally:
                done.set()

        outcomes = Running(read, reset).outcomes(subject.seconds(60), "a reset beside a reader")
        assert outcomes[1] is None, outcomes[1]
        assert isinstance(outcomes[0], int), f"the reader got {outcomes[0]!r}"


@check(Group.RESET)
def a_closed_device_is_not_reset(subject: Subject) -> None:
    """Reset of a closed device raises Closed."""
    device = subject.open()
    device.close()
    raises(Closed, device.reset)
    raises(Closed, device.reset_methods)
