"""An interrupt handle in front of another: everything arrives, in order, and is reported."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from pymmio.errors import Closed, VectorsExhausted
from pymmio.handle import IrqKind
from pymmio.irq import Interrupts, TracedIrq
from pymmio.testing.fakes import FakeIrq
from pymmio.trace import EventRing, IrqEvent
from tests.unit.irq.conftest import ALL_KINDS, DEADLINE_S, Waiter


class Traced:
    """A fake backend, the handle in front of it, and the ring that it reports to."""

    def __init__(self) -> None:
        self.fake = FakeIrq(ALL_KINDS)
        self.ring = EventRing()
        self.handle = TracedIrq(self.fake, self.ring)

    def told(self) -> list[tuple[str, str, int, int]]:
        return [
            (e.kind, e.irq, e.vector, e.count) for e in self.ring.notes if isinstance(e, IrqEvent)
        ]


@pytest.fixture
def traced() -> Iterator[Traced]:
    before = set(os.listdir("/proc/self/fd")), threading.active_count()
    one = Traced()
    yield one
    one.handle.close()
    assert (set(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_an_interrupt_is_reported_before_it_is_there(traced: Traced) -> None:
    with Interrupts(traced.handle) as irqs:
        vector = irqs.msix.enable(3)[2]
        traced.fake.fire(IrqKind.MSIX, 2, times=5)
        assert vector.wait(DEADLINE_S) == 5
        assert traced.told() == [("irq-on", "msix", 0, 3), ("irq", "msix", 2, 5)]
    assert traced.told()[-1][:2] == ("irq-off", "msix")
    assert traced.fake.enabled == {}


def test_the_backend_gets_other_descriptors_than_the_program(traced: Traced) -> None:
    with Interrupts(traced.handle) as irqs:
        vector = irqs.msi[0]
        assert vector.fileno() not in traced.fake.enabled[IrqKind.MSI]


def test_vectors_that_are_left_out_stay_out(traced: Traced) -> None:
    with Interrupts(traced.handle) as irqs:
        found = irqs.msix.enable_only([1, 4])
        assert [fd < 0 for fd in traced.fake.enabled[IrqKind.MSIX]] == [
            True, False, True, True, False,
        ]  # fmt: skip
        traced.fake.fire(IrqKind.MSIX, 4)
        assert found[4].wait(DEADLINE_S) == 1
    events = [e for e in traced.ring.notes if isinstance(e, IrqEvent)]
    assert events[0].without == (0, 2, 3)


def test_vectors_that_are_added_keep_the_descriptors_of_the_others(traced: Traced) -> None:
    with Interrupts(traced.handle) as irqs:
        first = irqs.msix[0]
        before = traced.fake.enabled[IrqKind.MSIX][0]
        irqs.msix.enable(4)
        assert traced.fake.enabled[IrqKind.MSIX][0] == before
        traced.fake.fire(IrqKind.MSIX, 0)
        assert first.wait(DEADLINE_S) == 1


def test_intx_is_unmasked_through_it(traced: Traced) -> None:
    with Interrupts(traced.handle) as irqs:
        for _ in range(3):
            traced.fake.fire(IrqKind.INTX)  # the first is lost: nothing is on yet
            if traced.fake.enabled:
                assert irqs.intx[0].wait(DEADLINE_S) == 1
            irqs.intx[0].unmask()
    kinds = [kind for kind, *_ in traced.told()]
    assert kinds == ["irq-on", "irq", "unmask", "irq", "unmask", "irq-off"]


def test_who_waits_when_a_kind_is_switched_off_gets_closed(traced: Traced) -> None:
    with Interrupts(traced.handle) as irqs:
        vector = irqs.msi[0]
        waiter = Waiter(lambda: vector.wait(DEADLINE_S))
        irqs.msi.disable()
        assert isinstance(waiter.result(), Closed)
        assert traced.fake.enabled == {}


def test_fewer_vectors_can_be_taken_where_the_machine_has_not_as_many(traced: Traced) -> None:
    traced.fake.fail_next("enable", VectorsExhausted("no", possible=2))
    with Interrupts(traced.handle) as irqs:
        assert len(irqs.msix.enable(8, partial=True)) == 2
        traced.fake.fire(IrqKind.MSIX, 1)
        assert irqs.msix[1].wait(DEADLINE_S) == 1


def test_many_vectors_and_events_lose_nothing(traced: Traced) -> None:
    with Interrupts(traced.handle) as irqs:
        vectors = irqs.msix.enable(8)
        for _ in range(50):
            for index in range(8):
                traced.fake.fire(IrqKind.MSIX, index)
        for vector in vectors:
            seen = 0
            while seen < 50:
                seen += vector.wait(DEADLINE_S)
            assert seen == 50
    assert sum(count for kind, _, _, count in traced.told() if kind == "irq") == 400


def test_closing_twice_and_without_use_is_fine(traced: Traced) -> None:
    traced.handle.close()
    traced.handle.close()
