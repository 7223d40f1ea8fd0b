"""Interrupts as the backend delivers them: to the eventfds that it was given last."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pymmio.errors import PymmioError
from pymmio.handle import IrqKind
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.devices.base import QUIET_S, Exerciser
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject


@contextmanager
def eventfds(count: int) -> Iterator[list[int]]:
    """Make eventfds for the block."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            stack.callback(os.close, fd)
            found.append(fd)
        yield found


def take(fd: int, timeout_s: float) -> int:
    """Return how often an eventfd was signalled, 0 after the time."""
    if not select.select([fd], [], [], timeout_s)[0]:
        return 0
    return os.eventfd_read(fd)


def settle(fd: int) -> None:
    """Take what was under way."""
    for _ in range(100):
        if not take(fd, QUIET_S):
            return
    raise AssertionError("interrupts come and come")


@contextmanager
def _started(
    subject: Subject, kind: IrqKind | None = None, vectors: int = 1
) -> Iterator[tuple[Exerciser, IrqKind, list[int]]]:
    """Open the device, deliver ``vectors`` of a kind to eventfds, and start it."""
    with subject.exerciser() as exerciser, eventfds(vectors + 1) as fds:
        kind = kind or exerciser.message_kinds()[0]
        irq = exerciser.device.handle.irq
        irq.enable(kind, fds[:vectors])
        try:
            exerciser.start(vectors)
            for fd in fds[:vectors]:
                settle(fd)
            yield exerciser, kind, fds
            exerciser.stop()
        finally:
            irq.disable(kind)


def _arrives(exerciser: Exerciser, subject: Subject, fd: int, vector: int = 0) -> None:
    exerciser.fire(vector)
    assert take(fd, subject.seconds(10)) >= 1, f"vector {vector} did not arrive"
    exerciser.acknowledge(vector)


@check(Group.INTERRUPTS, Ability.MESSAGES)
def enabling_again_replaces(subject: Subject) -> None:
    """After a second enable the new eventfd gets what comes, and the former nothing."""
    with _started(subject) as (exerciser, kind, fds):
        first, second = fds
        _arrives(exerciser, subject, first)
        for old, new in ((first, second), (second, first), (first, second)):
            exerciser.device.handle.irq.enable(kind, [new])
            _arrives(exerciser, subject, new)
            assert take(old, 0) == 0, "the former eventfd was signalled"


@check(Group.INTERRUPTS, Ability.VECTORS)
def vectors_can_be_left_out(subject: Subject) -> None:
    """A vector whose eventfd is -1 goes nowhere; the others arrive at theirs."""
    with _started(subject, IrqKind.MSIX, 2) as (exerciser, kind, fds):
        irq = exerciser.device.handle.irq
        irq.enable(kind, [-1, fds[1]])
        exerciser.fire(0)
        exerciser.acknowledge(0)
        assert take(fds[1], QUIET_S) == 0, "vector 0 was left out, and went to vector 1"
        _arrives(exerciser, subject, fds[1], 1)
        assert take(fds[0], 0) == 0, "a vector that was left out was signalled"
        irq.enable(kind, [fds[0], -1])
        settle(fds[0])  # what came while it was left out may be kept by the machine
        exerciser.fire(1)
        exerciser.acknowledge(1)
        _arrives(exerciser, subject, fds[0], 0)
        assert take(fds[1], 0) == 0, "a vector that was left out was signalled"


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def nothing_comes_after_disable(subject: Subject) -> None:
    """After disable nothing is signalled; a second disable, or one too many, is no error."""
    with subject.open() as device:
        for kind in subject.kind(device, 1).kinds():
            device.handle.irq.disable(kind)
    with _started(subject, subject_kind(subject)) as (exerciser, kind, fds):
        irq = exerciser.device.handle.irq
        irq.disable(kind)
        irq.disable(kind)
        exerciser.fire()
        exerciser.acknowledge()
        assert take(fds[0], QUIET_S) == 0, "an eventfd was signalled after disable"


def subject_kind(subject: Subject) -> IrqKind:
    """Return the best kind of interrupt that the subject has."""
    with subject.exerciser() as exerciser:
        return exerciser.kinds()[0]


@check(Group.INTERRUPTS, Ability.MESSAGES)
def enabling_after_disable_works(subject: Subject) -> None:
    """A kind can be switched off and on again, as often as one likes."""
    with _started(subject) as (exerciser, kind, fds):
        irq = exerciser.device.handle.irq
        for fd in (fds[1], fds[0], fds[1]):
            irq.disable(kind)
            irq.enable(kind, [fd])
            settle(fd)
            _arrives(exerciser, subject, fd)


@check(Group.INTERRUPTS, Ability.MESSAGES)
def too_many_vectors_are_refused(subject: Subject) -> None:
    """More eventfds than vectors raise, and what was on may be switched on again."""
    with _started(subject) as (exerciser, kind, fds):
        irq = exerciser.device.handle.irq
        many = irq.count(kind) + 1
        raises(PymmioError, lambda: irq.enable(kind, [-1] * (many - 1) + [fds[1]]))
        irq.disable(kind)
        irq.enable(kind, [fds[0]])
        settle(fds[0])
        _arrives(exerciser, subject, fds[0])


@check(Group.INTERRUPTS, Ability.INTX)
def the_pin_is_masked_when_it_fires(subject: Subject) -> None:
    """INTx fires once, then not before it is unmasked; a pin still asserted fires again then."""
    with _started(subject, IrqKind.INTX) as (exerciser, _, fds):
        irq, pin = exerciser.device.handle.irq, fds[0]
        for _ in range(10):  # what was under way fires once more, and masks the pin again
            irq.unmask_intx()
            if not take(pin, QUIET_S):
                break
        exerciser.fire()
        assert take(pin, subject.seconds(10)) == 1, "the pin did not fire"
        assert take(pin, QUIET_S) == 0, "the pin fired while it was masked"
        irq.unmask_intx()
        assert take(pin, subject.seconds(10)) == 1, "an asserted pin did not fire at the unmask"
        exerciser.acknowledge()
        irq.unmask_intx()
        assert take(pin, QUIET_S) <= 1  # it may have been under way before the acknowledge
        irq.unmask_intx()
        assert take(pin, QUIET_S) == 0, "the pin fired, and nobody asserts it"
        exerciser.fire()
        assert take(pin, subject.seconds(10)) == 1, "the pin did not fire a second time"
        exerciser.acknowledge()


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def the_owner_closes_eventfds(subject: Subject) -> None:
    """The backend keeps no reference to an eventfd that was taken away from it."""
    with _started(subject, subject_kind(subject)) as (exerciser, kind, fds):
        before = len(os.listdir("/proc/self/fd"))
        irq = exerciser.device.handle.irq
        irq.disable(kind)
        for _ in range(5):
            irq.enable(kind, [fds[0]])
            irq.disable(kind)
        assert len(os.listdir("/proc/self/fd")) <= before
        os.eventfd_write(fds[0], 3)
        assert take(fds[0], 0) == 3, "the eventfd is no longer the owner's"
