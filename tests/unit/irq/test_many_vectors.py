"""More vectors than the machine gives, and a few of a large table."""

from __future__ import annotations

import pytest

from pymmio.errors import BadArgument, Closed, OutOfBounds, Unsupported, VectorsExhausted
from pymmio.handle import IrqKind
from pymmio.irq import Interrupts
from pymmio.testing.fakes import FakeIrq


def exhausted(possible: int | None) -> VectorsExhausted:
    return VectorsExhausted("there are no more", possible=possible)


def test_fewer_than_asked_for_is_an_error_that_says_how_many(
    irqs: Interrupts, handle: FakeIrq
) -> None:
    handle.fail_next("enable", exhausted(3))
    with pytest.raises(VectorsExhausted) as caught:
        irqs.msix.enable(8)
    assert caught.value.possible == 3
    assert irqs.msix.enabled == 0


def test_partial_takes_what_there_is(irqs: Interrupts, handle: FakeIrq) -> None:
    handle.fail_next("enable", exhausted(3))
    vectors = irqs.msix.enable(8, partial=True)
    assert len(vectors) == irqs.msix.enabled == 3
    assert [call[1:] for call in handle.called("enable")] == [
        (IrqKind.MSIX, 8),
        (IrqKind.MSIX, 3),
    ]
    handle.fire(IrqKind.MSIX, 2)
    assert vectors[2].try_take() == 1


def test_partial_halves_where_the_kernel_does_not_say(irqs: Interrupts, handle: FakeIrq) -> None:
    for _ in range(2):
        handle.fail_next("enable", exhausted(None))
    assert len(irqs.msix.enable(8, partial=True)) == 2


@pytest.mark.parametrize("possible", [None, 0, 8, 100])
def test_partial_ends_whatever_the_kernel_says(
    irqs: Interrupts, handle: FakeIrq, possible: int | None
) -> None:
    for _ in range(8):
        handle.fail_next("enable", exhausted(possible))
    with pytest.raises(VectorsExhausted):
        irqs.msix.enable(8, partial=True)
    assert irqs.msix.enabled == 0


def test_partial_with_enough_takes_all(irqs: Interrupts) -> None:
    assert len(irqs.msix.enable(8, partial=True)) == 8


def test_other_errors_are_not_taken_for_a_shortage(irqs: Interrupts, handle: FakeIrq) -> None:
    handle.fail_next("enable", Unsupported("something else"))
    with pytest.raises(Unsupported, match="something else"):
        irqs.msix.enable(8, partial=True)


def test_some_vectors_only(irqs: Interrupts, handle: FakeIrq) -> None:
    vectors = irqs.msix.enable_only([5, 1])
    assert list(vectors) == [1, 5]
    fds = handle.enabled[IrqKind.MSIX]
    assert fds == (-1, vectors[1].fileno(), -1, -1, -1, vectors[5].fileno())
    assert irqs.msix.enabled == 2
    for index in range(8):
        handle.fire(IrqKind.MSIX, index)
    assert [vectors[1].try_take(), vectors[5].try_take()] == [1, 1]


def test_vectors_that_are_taken_later_come_alone(irqs: Interrupts, handle: FakeIrq) -> None:
    vectors = irqs.msix.enable_only([5])
    assert irqs.msix[5] is vectors[5]
    third = irqs.msix[3]
    assert irqs.msix.enabled == 2
    assert handle.enabled[IrqKind.MSIX][3] == third.fileno()
    assert irqs.msix.enable_only([3, 7])[3] is third
    assert irqs.msix.enabled == 3


def test_enable_fills_the_gaps(irqs: Interrupts, handle: FakeIrq) -> None:
    fifth = irqs.msix.enable_only([5])[5]
    assert len(irqs.msix.enable(4)) == 4
    assert irqs.msix.enabled == 5
    assert irqs.msix[5] is fifth
    assert handle.enabled[IrqKind.MSIX][4] == -1


def test_after_disable_a_vector_brings_those_below_it_again(irqs: Interrupts) -> None:
    vectors = irqs.msix.enable_only([5])
    irqs.msix.disable()
    with pytest.raises(Closed):
        vectors[5].try_take()
    assert irqs.msix[2]
    assert irqs.msix.enabled == 3


def test_numbers_that_the_device_has_not(irqs: Interrupts) -> None:
    for wrong in ([8], [-1, 2], [0, 100]):
        with pytest.raises(OutOfBounds):
            irqs.msix.enable_only(wrong)
    with pytest.raises(BadArgument):
        irqs.msix.enable_only([])
    assert irqs.msix.enabled == 0


def test_a_failure_switches_all_off(irqs: Interrupts, handle: FakeIrq) -> None:
    irqs.msix.enable_only([5])
    handle.fail_next("enable", exhausted(None))
    with pytest.raises(VectorsExhausted):
        irqs.msix.enable_only([7])
    assert irqs.msix.enabled == 0
    assert handle.enabled == {}
