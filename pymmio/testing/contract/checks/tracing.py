"""Tracing: the same values, and one event for each access that the program made."""

from __future__ import annotations

from collections.abc import Callable

from pymmio.errors import Misaligned
from pymmio.testing.contract.check import Group, check
from pymmio.testing.contract.devices.base import Exerciser
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject
from pymmio.trace import AccessEvent, RingSink

_KINDS = ("read", "write", "wait", "block")


def _work(exerciser: Exerciser) -> list[object]:
    """Do a bit of everything and return what came back."""
    fixed, echo = exerciser.fixed[0], exerciser.echoes[0]
    bar = exerciser.device.region(echo.region)
    registers = exerciser.device.region(fixed.region)
    found: list[object] = [registers.read(fixed.offset, fixed.width) & fixed.mask]
    bar.write(echo.offset, echo.width, 0x5A5A5000 & echo.mask)
    found.append(bar.read(echo.offset, echo.width) & echo.mask)
    found.append(registers.wait32(fixed.offset & ~3, mask=0, value=0, timeout_s=0) & fixed.mask)
    found.append(len(registers.read_block(fixed.offset & ~3, 4, width=4)))
    raises(Misaligned, lambda: bar.read32(1))
    bar.doorbell(echo.offset & ~7).ring(0x1000 & echo.mask)
    found.append(bar.read(echo.offset, echo.width) & echo.mask)
    return found


def _traced(subject: Subject, do: Callable[[Exerciser], object]) -> list[AccessEvent]:
    sink = RingSink()
    with subject.exerciser(trace=sink) as exerciser:
        sink.events.clear()
        do(exerciser)
        bars = {exerciser.device.region(e.region).name for e in exerciser.echoes}
        bars |= {exerciser.device.region(f.region).name for f in exerciser.fixed}
        seen = [e for e in sink.events if isinstance(e, AccessEvent)]
        return [event for event in seen if event.region in bars and event.kind in _KINDS]


@check(Group.TRACING)
def a_traced_device_answers_the_same(subject: Subject) -> None:
    """Values and exceptions are those of a device that is not traced."""
    with subject.exerciser() as exerciser:
        plain = _work(exerciser)
    with subject.exerciser(trace=RingSink()) as exerciser:
        assert _work(exerciser) == plain


@check(Group.TRACING)
def each_access_is_one_event(subject: Subject) -> None:
    """Accesses are reported in their order, with offset, width and value; refused ones too."""
    events = _traced(subject, _work)
    fixed, echo = subject.kind.fixed[0], subject.kind.echoes[0]
    seen = [(event.kind, event.offset, event.width) for event in events]
    assert seen == [
        ("read", fixed.offset, fixed.width),
        ("write", echo.offset, echo.width),
        ("read", echo.offset, echo.width),
        ("wait", fixed.offset & ~3, 4),
        ("block", fixed.offset & ~3, 4),
        ("read", 1, 4),
        ("write", echo.offset & ~7, 4),
        ("read", echo.offset, echo.width),
    ], seen
    assert events[1].value == 0x5A5A5000 & echo.mask
    assert events[2].value is not None
    assert events[2].value & echo.mask == echo.shows(0x5A5A5000 & echo.mask)
    assert events[5].error is not None
    assert "Misaligned" in events[5].error
    assert [event.error for event in events if event is not events[5]] == [None] * 7


def _prove_often(exerciser: Exerciser) -> None:
    for _ in range(5):
        exerciser.prove()


@check(Group.TRACING)
def events_are_in_the_order_of_time(subject: Subject) -> None:
    """The time of an event is not before that of the one before it."""
    events = _traced(subject, _prove_often)
    times = [event.time_ns for event in events]
    assert len(times) >= 5
    assert times == sorted(times)
