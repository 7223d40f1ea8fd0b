"""Removal: a device that was taken away is DeviceGone for all, and close still works."""

from __future__ import annotations

from pymmio.errors import AccessFault, Closed, DeviceGone, PymmioError
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import Running, raises
from pymmio.testing.contract.footprint import leaves_nothing
from pymmio.testing.contract.subject import Subject


def _remove(subject: Subject, device: object) -> None:
    assert subject.remove is not None
    subject.remove(device)  # type: ignore[arg-type]


@check(Group.REMOVAL, Ability.REMOVAL)
def a_removed_device_is_gone(subject: Subject) -> None:
    """is_gone says so, check_present raises DeviceGone, and close raises nothing."""
    with subject.open() as device:
        assert not device.handle.is_gone()
        _remove(subject, device)
        assert device.handle.is_gone()
        error = raises(DeviceGone, device.check_present)
        assert isinstance(error, OSError)
        assert device.name in str(error), error


@check(Group.REMOVAL, Ability.REMOVAL)
def waits_end_in_device_gone(subject: Subject) -> None:
    """Who polls or waits for a device that is removed is told that it is gone."""
    with subject.open() as device:
        exerciser = subject.kind(device, subject.seconds(10))
        poll = exerciser.never()
        region = device.region(poll.region)
        calls = [
            lambda: region.wait32(poll.offset, mask=1 << 31, value=0, timeout_s=subject.seconds(1))
        ]
        if kinds := exerciser.kinds():
            vector = device.irqs.of_kind(kinds[0])[0]
            calls.append(lambda: vector.wait(timeout_s=subject.seconds(1)))
        _remove(subject, device)
        for call in calls:
            raises(DeviceGone, call)


@check(Group.REMOVAL, Ability.REMOVAL)
def accesses_of_a_removed_device_do_not_crash(subject: Subject) -> None:
    """Accesses read ones or raise; reset raises DeviceGone; nothing hangs."""
    with subject.open() as device:
        bar = device.region(subject.kind.fixed[0].region)
        _remove(subject, device)
        for call in (lambda: bar.read32(0), lambda: bar.write32(0, 0)):
            try:
                value = call()
            except (DeviceGone, AccessFault):
                continue
            assert value in (None, 0xFFFF_FFFF, 0), value
        raises(DeviceGone, device.reset)


@check(Group.REMOVAL, Ability.REMOVAL)
def removal_under_use_wakes_all(subject: Subject) -> None:
    """Threads at work when the device is removed come back, with an exception or without."""
    device = subject.open()
    exerciser = subject.kind(device, subject.seconds(10))
    poll = exerciser.never()
    region = device.region(poll.region)
    running = Running(
        lambda: region.wait32(
            poll.offset, mask=poll.mask, value=poll.value, timeout_s=subject.seconds(2)
        )
    )
    _remove(subject, device)
    (outcome,) = running.outcomes(subject.seconds(30), "a poller")
    assert isinstance(outcome, (PymmioError, int)), repr(outcome)
    assert not isinstance(outcome, Closed), repr(outcome)
    device.close()


@check(Group.REMOVAL, Ability.REMOVAL, Ability.DMA)
def memory_of_a_removed_device_is_freed(subject: Subject) -> None:
    """Closing after removal frees all, with memory and interrupts in use."""

    def use() -> None:
        device = subject.open()
        exerciser = subject.kind(device, subject.seconds(10))
        exerciser.start()
        exerciser.alloc(65536)
        if kinds := exerciser.kinds():
            device.irqs.of_kind(kinds[0]).enable(1)
        _remove(subject, device)
        device.close()

    use()
    with leaves_nothing("a removed device"):
        use()
