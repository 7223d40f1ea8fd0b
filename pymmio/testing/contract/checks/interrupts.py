"""Interrupts: each arrives at its vector, once, and only where it was switched on."""

from __future__ import annotations

import select
import threading
from contextlib import suppress

from pymmio.errors import BadArgument, Closed, DeviceTimeout, OutOfBounds, Unsupported
from pymmio.handle import IrqKind
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.devices.base import QUIET_S
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject


@check(Group.INTERRUPTS)
def vectors_are_counted(subject: Subject) -> None:
    """The backend says how many vectors of each kind there are, the same each time."""
    with subject.open() as device:
        irq = device.handle.irq
        counts = {kind: irq.count(kind) for kind in IrqKind}
        assert all(count >= 0 for count in counts.values()), counts
        assert counts[IrqKind.INTX] <= 1, counts
        assert counts[IrqKind.MSI] in (0, 1, 2, 4, 8, 16, 32), counts
        assert counts[IrqKind.MSIX] <= 2048, counts
        assert counts[IrqKind.ERR] <= 1, counts
        assert counts[IrqKind.REQ] <= 1, counts
        assert {kind: irq.count(kind) for kind in IrqKind} == counts
        assert {kind: len(device.irqs.of_kind(kind)) for kind in IrqKind} == counts


@check(Group.INTERRUPTS)
def kinds_of_interrupts_that_are_missing_say_so(subject: Subject) -> None:
    """A kind that the device has not raises Unsupported, and says what it has."""
    with subject.open() as device:
        for kind in IrqKind:
            vectors = device.irqs.of_kind(kind)
            if len(vectors):
                continue
            error = raises(Unsupported, lambda v=vectors: v[0])  # type: ignore[misc]
            assert error.hint, error
            for other in IrqKind:
                if len(device.irqs.of_kind(other)):
                    assert other in str(error), error
            raises(Unsupported, lambda v=vectors: v.enable(1))  # type: ignore[misc]
            vectors.disable()


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def messages_arrive_at_their_eventfd(subject: Subject) -> None:
    """An interrupt of each kind arrives, and none that nobody raised."""
    with subject.open() as device:
        for kind in subject.kind(device, subject.seconds(10)).kinds():
            with subject.exercise(device) as exerciser:
                (vector,) = exerciser.begin(kind)
                for _ in range(3):
                    exerciser.fire()
                    assert vector.wait(timeout_s=subject.seconds(10)) >= 1, kind
                    exerciser.acknowledge()
                    raises(DeviceTimeout, lambda v=vector: v.wait(timeout_s=QUIET_S), kind)  # type: ignore[misc]
                exerciser.stop()
                device.irqs.of_kind(kind).disable()


@check(Group.INTERRUPTS, Ability.VECTORS)
def each_vector_has_an_eventfd_of_its_own(subject: Subject) -> None:
    """With several vectors on, an interrupt arrives at its own and at no other."""
    with subject.exerciser() as exerciser:
        count = exerciser.usable(IrqKind.MSIX)
        assert count > 1, f"{count} vectors can be raised"
        vectors = exerciser.begin(IrqKind.MSIX, count)
        for number in (*range(count), *reversed(range(count))):
            exerciser.fire(number)
            assert vectors[number].wait(timeout_s=subject.seconds(10)) >= 1
            exerciser.acknowledge(number)
            for other, vector in enumerate(vectors):
                if other != number:
                    assert vector.try_take() == 0, f"{number} was raised, {other} got it"


@check(Group.INTERRUPTS, Ability.INTERRUPTS)
def interrupts_are_kept_while_nobody_waits(subject: Subject) -> None:
    """An event that came before anybody waited is returned by the next wait, once."""
    with subject.exerciser() as exerciser:
        kind = exerciser.kinds()[0]
        (vector,) = exerciser.begin(kind)
        exerciser.fire()
        assert select.select([vector.fileno()], [], [], subject.seconds(10))[0], "it did not come"
        assert vector.try_take() >= 1
        assert vector.try_take() == 0
        exerciser.acknowledge()


@check(Group.INTERRUPTS, Ability.MESSAGES)
def events_are_not_more_than_were_raised(subject: Subject) -> None:
    """Messages may be taken together; none is lost for ever and none is invented."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.message_kinds()[0])
        for number in range(20):
            exerciser.fire()
            events = vector.wait(timeout_s=subject.seconds(10))
            assert events == 1, f"round {number}: {events} events for one message"
            exerciser.acknowledge()
        raises(DeviceTimeout, lambda: vector.wait(timeout_s=QUIET_S))


@check(Group.INTERRUPTS, Ability.INTX)
def the_pin_arrives_and_is_unmasked_again(subject: Subject) -> None:
    """INTx arrives again and again, if the device is quieted in between."""
    with subject.exerciser() as exerciser:
        (pin,) = exerciser.begin(IrqKind.INTX)
        for _ in range(3):
            exerciser.fire()
            assert pin.wait(timeout_s=subject.seconds(10)) >= 1
            exerciser.acknowledge()
            while pin.try_take():  # an event that was under way before the acknowledge
                pass


@check(Group.INTERRUPTS, Ability.MESSAGES, Ability.INTX)
def kinds_exclude_each_other(subject: Subject) -> None:
    """While one of INTx, MSI, MSI-X is on, another is refused; after disable it works."""
    with subject.open() as device:
        kinds = [k for k in (IrqKind.MSIX, IrqKind.MSI, IrqKind.INTX) if device.irqs.of_kind(k)]
        for on in kinds:
            device.irqs.of_kind(on).enable(1)
            for other in kinds:
                if other is not on:
                    error = raises(Unsupported, lambda o=other: device.irqs.of_kind(o).enable(1))  # type: ignore[misc]
                    assert on in str(error), error
            device.irqs.of_kind(on).disable()


@check(Group.INTERRUPTS, Ability.MESSAGES)
def vectors_that_are_not_there_are_refused(subject: Subject) -> None:
    """More vectors than there are raise OutOfBounds, none raises BadArgument."""
    with subject.open() as device:
        for kind in subject.kind(device, 1).kinds():
            vectors = device.irqs.of_kind(kind)
            raises(OutOfBounds, lambda v=vectors: v[len(v)])  # type: ignore[misc]
            raises(OutOfBounds, lambda v=vectors: v[-1])  # type: ignore[misc]
            raises(OutOfBounds, lambda v=vectors: v.enable(len(v) + 1))  # type: ignore[misc]
            raises(BadArgument, lambda v=vectors: v.enable(0))  # type: ignore[misc]
            assert vectors.enabled == 0


@check(Group.INTERRUPTS, Ability.MESSAGES)
def all_vectors_can_be_switched_on(subject: Subject) -> None:
    """As many vectors as are counted can be on, or as many as the machine gives."""
    with subject.open() as device:
        for kind in subject.kind(device, 1).message_kinds():
            vectors = device.irqs.of_kind(kind)
            got = vectors.enable(len(vectors), partial=True)
            assert 1 <= len(got) <= len(vectors)
            assert vectors.enabled == len(got)
            assert len({vector.fileno() for vector in got}) == len(got)
            vectors.disable()
            assert vectors.enabled == 0
            raises(Closed, got[0].try_take)


@check(Group.INTERRUPTS, Ability.MESSAGES)
def without_bus_mastering_no_message_comes(subject: Subject) -> None:
    """A message is an access of the device: none arrives while bus mastering is off."""
    with subject.exerciser() as exerciser:
        (vector,) = exerciser.begin(exerciser.message_kinds()[0])
        exerciser.device.disable_bus_master()
        with suppress(AssertionError):  # a device whose work is in memory cannot even begin
            exerciser.fire()
        raises(DeviceTimeout, lambda: vector.wait(timeout_s=QUIET_S))


@check(Group.INTERRUPTS)
def events_of_the_machine_can_be_watched(subject: Subject) -> None:
    """Where there are REQ and ERR they can be switched on, and do not come without a reason."""
    with subject.open() as device:
        for kind in (IrqKind.REQ, IrqKind.ERR):
            vectors = device.irqs.of_kind(kind)
            if len(vectors):
                assert vectors[0].try_take() == 0, kind
                vectors.disable()
        called = threading.Event()
        for subscribe, vectors in (
            (device.on_request, device.irqs.req),
            (device.on_error, device.irqs.err),
        ):
            if len(vectors):
                subscribe(called.set).close()
            else:
                raises(Unsupported, lambda s=subscribe: s(called.set))  # type: ignore[misc]
        assert not called.is_set()


@check(Group.INTERRUPTS)
def interrupts_that_are_not_offered_say_so(subject: Subject) -> None:
    """A backend without interrupts counts none and refuses them with a reason."""
    with subject.open() as device:
        kinds = subject.kind(device, 1).kinds()
        is_device_able = Ability.INTERRUPTS in subject.kind.abilities
        if Ability.INTERRUPTS in subject.lacks or not is_device_able:
            assert not kinds, f"{kinds} are offered, and it is said that there are none"
            error = raises(Unsupported, lambda: device.irqs.msix[0])
            assert error.hint, error
        else:
            assert kinds, "there are no interrupts, and nobody says why"
            assert device.irqs.of_kind(kinds[0])[0].try_take() == 0
