"""Who has the device: one after the other, two at once, one that was killed."""

from __future__ import annotations

import os
import select
import signal
import time

from pymmio.device import Device
from pymmio.errors import DeviceBusy, DeviceGone, Unsupported
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import forked
from pymmio.testing.contract.subject import Subject


@check(Group.LIFE)
def a_second_user_is_refused_or_has_a_device_of_its_own(subject: Subject) -> None:
    """Opening twice gives another device, or DeviceBusy; the first goes on either way."""
    with subject.exerciser() as first:
        echo = first.echoes[0]
        first.echo(echo, 0x11111000)
        try:
            second = subject.open()
        except DeviceBusy as error:
            assert error.hint, error
        else:
            with second, subject.exercise(second) as other:
                other.echo(echo, 0x22222000)
                seen = first.device.region(echo.region).read(echo.offset, echo.width)
                assert seen & echo.mask == echo.shows(0x11111000 & echo.mask), hex(seen)
                other.prove()
        first.prove()
        first.echo(echo, 0x33333000)


@check(Group.LIFE)
def a_device_whose_user_was_killed_can_be_taken(subject: Subject) -> None:
    """After SIGKILL of the process that had the device it can be opened, and works."""
    reading, writing = os.pipe()

    def use() -> None:
        with subject.open() as device:
            exerciser = subject.kind(device, subject.seconds(10))
            if subject.kind.abilities >= {Ability.DMA} and Ability.DMA not in subject.lacks:
                if kinds := exerciser.kinds():
                    device.irqs.of_kind(kinds[0]).enable(1)
                exerciser.start(1 if kinds else 0)
                exerciser.alloc(65536)
            exerciser.prove()
            os.write(writing, b"x")
            signal.pause()

    pid = forked(use)
    os.close(writing)
    try:
        assert select.select([reading], [], [], subject.seconds(30))[0], "it did not start"
        assert os.read(reading, 1) == b"x", "it failed"
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    with open_soon(subject) as device, subject.exercise(device) as exerciser:
        exerciser.prove()
        for echo in exerciser.echoes:
            exerciser.echo(echo, 0x0F0E0D0C0B0A0908)
        if subject.kind.abilities >= {Ability.DMA} and Ability.DMA not in subject.lacks:
            exerciser.start()
            with exerciser.alloc(4096) as buffer:
                size = exerciser.unit
                assert exerciser.fetch(buffer.iova, size)
                assert exerciser.store(buffer.iova, size)


def open_soon(subject: Subject) -> Device:
    """Open a device whose former user has just died: the other end may need a moment."""
    deadline = time.monotonic() + subject.seconds(10)
    while True:
        try:
            return subject.open()
        except (DeviceBusy, DeviceGone):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@check(Group.LIFE, Ability.DMA)
def state_of_the_former_user_is_gone(subject: Subject) -> None:
    """A device that was closed while it was at work does nothing to its next user's memory."""
    device = subject.open()
    exerciser = subject.kind(device, subject.seconds(10))
    exerciser.start()
    old = exerciser.alloc(4096)
    with memoryview(old) as view:
        view[:] = b"\x99" * 4096
    exerciser.fetch(old.iova, exerciser.unit)
    device.close()
    with subject.exerciser() as again:
        again.device.enable_bus_master()
        buffers = [again.alloc(4096) for _ in range(4)]
        again.prove()
        for buffer in buffers:
            assert bytes(buffer) == bytes(4096)
            buffer.close()


@check(Group.LIFE)
def what_another_backend_has_cannot_be_shared(subject: Subject) -> None:
    """Sharing an address space with a device of another backend raises Unsupported."""
    from pymmio.testing.contract.expect import raises
    from pymmio.testing.contract.strangers import Stranger

    with subject.open() as device:
        stranger = Stranger(device)
        error = raises(Unsupported, lambda: subject.open(share_dma_with=stranger).close())
        assert error.hint, error
