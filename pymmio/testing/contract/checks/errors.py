"""Failures are exceptions, with what was asked, what was seen, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymmio.device import Device
from pymmio.errors import (
    AccessError,
    AccessFault,
    DeviceNotFound,
    DeviceTimeout,
    OutOfBounds,
    PymmioError,
    Unsupported,
    UriError,
)
from pymmio.pci import Command, PowerManagement, PowerState
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.footprint import leaves_nothing
from pymmio.testing.contract.subject import Subject
from pymmio.uri import DeviceUri


@contextmanager
def decoding_off(device: Device) -> Iterator[None]:
    """Have the device answer no memory access during the block."""
    device.config.update_command(off=Command.MEMORY)
    try:
        yield
    finally:
        device.config.update_command(on=Command.MEMORY)


@check(Group.ERRORS)
def errors_tell_where(subject: Subject) -> None:
    """A refused access names region, offset, width, direction and value, and what to do."""
    with subject.open() as device:
        bar = device.region(subject.kind.fixed[0].region)
        error = raises(AccessError, lambda: bar.write32(bar.size, 7))
        assert (error.offset, error.width, error.is_write) == (bar.size, 4, True)
        assert error.region == bar.name
        assert device.name in str(error), error
        assert hex(bar.size) in str(error), error
        assert error.hint
        assert isinstance(error, (OutOfBounds, IndexError))


@check(Group.ERRORS)
def options_that_do_not_exist_are_refused(subject: Subject) -> None:
    """An option that the backend does not know raises, and says which there are."""
    parsed = DeviceUri.parse(subject.uri)
    options = parsed.options | {"no-such-option": "1"}
    uri = DeviceUri(parsed.scheme, parsed.target, options)
    with leaves_nothing("an unknown option"):
        error = raises(PymmioError, lambda: subject.opener(uri).close())
        assert isinstance(error, (UriError, Unsupported)), f"{type(error).__name__}: {error}"
        assert error.hint, error
        assert "no-such-option" in str(error), error


@check(Group.ERRORS)
def devices_that_do_not_exist_are_not_found(subject: Subject) -> None:
    """A device that is not there raises, says its name, and leaves nothing."""
    parsed = DeviceUri.parse(subject.uri)
    for target in _missing(parsed):
        uri = DeviceUri(parsed.scheme, target)
        with leaves_nothing(f"the missing device {uri}"):
            error = raises(PymmioError, lambda u=uri: subject.opener(u).close())  # type: ignore[misc]
            expected = (DeviceNotFound, UriError, Unsupported)
            assert isinstance(error, expected), f"{type(error).__name__}: {error}"
            assert target in str(error), error
            assert error.hint, error


def _missing(uri: DeviceUri) -> list[str]:
    if uri.target.startswith("/"):
        return [f"{uri.target}.missing", "/nonexistent/device.sock"]
    if ":" in uri.target:
        return ["ffff:ff:1f.7"]
    return ["no-such-device"]


@check(Group.ERRORS, Ability.FAULTS)
def what_nobody_answers_is_a_fault(subject: Subject) -> None:
    """With memory decoding off each access raises AccessFault, and with it on it works again."""
    with subject.exerciser() as exerciser:
        device = exerciser.device
        echo = exerciser.echoes[0]
        bar = device.region(echo.region)
        exerciser.echo(echo, 0x12345000)
        with decoding_off(device):
            error = raises(AccessFault, lambda: bar.read(echo.offset, echo.width), "a read")
            assert (error.offset, error.width, error.is_write) == (echo.offset, echo.width, False)
            assert isinstance(error, OSError)
            assert error.hint
            error = raises(AccessFault, lambda: bar.write(echo.offset, echo.width, 0), "a write")
            assert error.is_write
            raises(AccessFault, lambda: bar.read_block(0, 64, width=echo.width), "a block")
            poll = exerciser.fixed[0]
            raises(
                AccessFault,
                lambda: device.region(poll.region).wait32(
                    poll.offset & ~3, mask=0, value=0, timeout_s=1
                ),
                "a poll",
            )
        assert not device.handle.is_gone()
        exerciser.prove()
        exerciser.echo(echo, 0x54321000)


@check(Group.ERRORS, Ability.FAULTS)
def a_sleeping_device_is_a_fault(subject: Subject) -> None:
    """In D3hot memory accesses raise AccessFault; back in D0 they work."""
    with subject.exerciser() as exerciser:
        device = exerciser.device
        if device.config.capability(PowerManagement) is None:
            raises(Unsupported, lambda: device.set_power_state(PowerState.D3HOT))
            return
        bar = exerciser.bar
        with device.in_power_state(PowerState.D3HOT):
            assert device.power_state is PowerState.D3HOT
            raises(AccessFault, lambda: bar.read32(0))
            assert device.config.vendor_id not in (0, 0xFFFF)
        assert device.power_state.name == "D0"
        exerciser.prove()


@check(Group.ERRORS)
def time_outs_are_no_removal(subject: Subject) -> None:
    """A wait that ends in vain is DeviceTimeout, not DeviceGone: the device still answers."""
    with subject.exerciser() as exerciser:
        poll = exerciser.never()
        region = exerciser.device.region(poll.region)
        error = raises(
            DeviceTimeout,
            lambda: region.wait32(poll.offset, mask=poll.mask, value=poll.value, timeout_s=0.01),
        )
        assert region.name in str(error)
        assert hex(poll.offset) in str(error)
        exerciser.device.check_present()


@check(Group.ERRORS)
def a_failed_access_does_not_break_the_next(subject: Subject) -> None:
    """After refusals of all kinds the device is as usable as before."""
    with subject.exerciser() as exerciser:
        device = exerciser.device
        bar = exerciser.bar
        for call in (
            lambda: bar.read32(bar.size),
            lambda: bar.read64(4),
            lambda: bar.write8(0, 256),
            lambda: device.region(99),
            lambda: device.irqs.msix[4096],
            lambda: bar.view(),
            lambda: bar.window(0, bar.size + 8),
        ):
            for _ in range(3):
                raises(PymmioError, call)
        exerciser.prove()
        for echo in exerciser.echoes:
            exerciser.echo(echo, 0x7E7E7E7E7E7E7E7E)
