from __future__ import annotations

import gc
import os
from collections.abc import Callable

import pytest

from pymmio.errors import (
    BadArgument,
    Closed,
    DmaError,
    ForkedObject,
    OutOfBounds,
    PymmioError,
    Unsupported,
)
from pymmio.handle import IrqKind
from pymmio.irq import Interrupts
from pymmio.testing.fakes import FakeIrq
from tests.children import in_forked_child


def test_each_kind_has_the_vectors_that_the_device_has(irqs: Interrupts) -> None:
    assert [len(v) for v in (irqs.intx, irqs.msi, irqs.msix, irqs.err, irqs.req)] == [1, 4, 8, 1, 1]


def test_nothing_is_switched_on_by_looking(irqs: Interrupts, handle: FakeIrq) -> None:
    assert len(irqs.msix) == 8
    assert irqs.msix.enabled == 0
    assert handle.calls == []


def test_taking_a_vector_switches_on_all_up_to_it(irqs: Interrupts, handle: FakeIrq) -> None:
    irq = irqs.msix[2]
    assert handle.calls == [("enable", IrqKind.MSIX, 3)]
    assert handle.enabled[IrqKind.MSIX][2] == irq.fileno()
    assert irqs.msix[0].fileno() == handle.enabled[IrqKind.MSIX][0]
    assert len(handle.calls) == 1


def test_adding_vectors_keeps_those_handed_out(irqs: Interrupts, handle: FakeIrq) -> None:
    first = irqs.msix[0]
    fd = first.fileno()
    third = irqs.msix[2]
    assert irqs.msix[0] is first
    assert handle.enabled[IrqKind.MSIX][0] == fd
    handle.fire(IrqKind.MSIX, 0)
    handle.fire(IrqKind.MSIX, 2, times=2)
    assert (first.try_take(), third.try_take()) == (1, 2)


def test_enable_switches_on_several_at_once(irqs: Interrupts, handle: FakeIrq) -> None:
    vectors = irqs.msi.enable(3)
    assert [vector.name for vector in vectors] == ["fake msi[0]", "fake msi[1]", "fake msi[2]"]
    assert irqs.msi.enable(2) == vectors[:2]
    assert irqs.msi.enabled == 3
    assert handle.calls == [("enable", IrqKind.MSI, 3)]


def test_iteration_switches_on_all(irqs: Interrupts, handle: FakeIrq) -> None:
    assert len(list(irqs.msix)) == 8
    assert handle.calls == [("enable", IrqKind.MSIX, 8)]


def test_iteration_over_no_vectors_is_empty() -> None:
    with Interrupts(FakeIrq({IrqKind.MSI: 1})) as irqs:
        assert list(irqs.msix) == []


@pytest.mark.parametrize("index", [8, -1, 1 << 20])
def test_a_vector_that_does_not_exist_is_refused(
    irqs: Interrupts, handle: FakeIrq, index: int
) -> None:
    with pytest.raises(OutOfBounds, match="fake has 8 msix vectors") as caught:
        irqs.msix[index]
    assert isinstance(caught.value, IndexError)
    assert isinstance(caught.value, PymmioError)
    assert handle.calls == []


def test_more_vectors_than_exist_are_refused(irqs: Interrupts) -> None:
    with pytest.raises(OutOfBounds, match="9 vectors was asked for"):
        irqs.msix.enable(9)
    with pytest.raises(BadArgument, match="disable"):
        irqs.msix.enable(0)


def test_a_kind_that_the_device_lacks_names_what_it_has() -> None:
    with Interrupts(FakeIrq({IrqKind.MSI: 4, IrqKind.INTX: 1}), name="fake") as irqs:
        assert len(irqs.msix) == 0
        for use in (lambda: irqs.msix[0], lambda: irqs.msix.enable(1)):
            with pytest.raises(Unsupported, match=r"no msix interrupts.*intx \(1\), msi \(4\)"):
                use()


def test_a_device_without_interrupts_says_poll() -> None:
    with Interrupts(FakeIrq({})) as irqs:
        with pytest.raises(Unsupported, match="poll"):
            irqs.intx[0]


@pytest.mark.parametrize(
    ("first", "second"),
    [("msi", "msix"), ("msix", "msi"), ("intx", "msi"), ("msix", "intx"), ("msi", "intx")],
)
def test_one_kind_excludes_the_others_until_it_is_off(
    irqs: Interrupts, handle: FakeIrq, first: str, second: str
) -> None:
    one, other = getattr(irqs, first), getattr(irqs, second)
    one.enable(1)
    with pytest.raises(Unsupported, match=rf"{first} switched on.*irqs\.{first}\.disable\(\)"):
        other[0]
    assert list(handle.enabled) == [IrqKind(first)]
    one.disable()
    other.enable(1)
    assert list(handle.enabled) == [IrqKind(second)]


def test_err_and_req_may_be_on_beside_it(irqs: Interrupts, handle: FakeIrq) -> None:
    irqs.err[0], irqs.msix[0], irqs.req[0]
    assert set(handle.enabled) == {IrqKind.ERR, IrqKind.MSIX, IrqKind.REQ}


def test_disable_ends_the_interrupts_and_leaves_no_descriptor(
    irqs: Interrupts, handle: FakeIrq, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    irq = irqs.msix[3]
    irqs.msix.disable()
    irqs.msix.disable()
    assert handle.called("disable") == [("disable", IrqKind.MSIX)]
    assert descriptors() == before
    with pytest.raises(Closed):
        irq.try_take()
    assert irqs.msix[3] is not irq


@pytest.mark.parametrize("already_on", [0, 2])
def test_a_refused_enable_leaves_the_kind_off_and_no_descriptor(
    irqs: Interrupts, handle: FakeIrq, descriptors: Callable[[], int], already_on: int
) -> None:
    before = descriptors()
    if already_on:
        irqs.msix.enable(already_on)
    handle.fail_next("enable", DmaError("injected"))
    with pytest.raises(DmaError, match="injected"):
        irqs.msix.enable(4)
    assert handle.enabled == {}
    assert irqs.msix.enabled == 0
    assert descriptors() == before
    irqs.msi.enable(1)


def test_a_refused_enable_that_cannot_be_undone_tells_both(
    irqs: Interrupts, handle: FakeIrq
) -> None:
    handle.fail_next("enable", DmaError("first"))
    handle.fail_next("disable", DmaError("second"))
    with pytest.raises(DmaError, match="first") as caught:
        irqs.msix.enable(4)
    assert "second" in caught.value.__notes__[0]


def test_no_eventfd_left_when_one_of_several_cannot_be_made(
    irqs: Interrupts,
    handle: FakeIrq,
    descriptors: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = descriptors()
    made: list[int] = []
    eventfd = os.eventfd

    def fail_third(*arguments: int) -> int:
        if len(made) == 2:
            raise OSError(24, "injected")
        made.append(eventfd(*arguments))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(os, "eventfd", fail_third)
        with pytest.raises(Unsupported, match="injected"):
            irqs.msix.enable(4)
    assert descriptors() == before
    assert handle.called("enable") == []


def test_close_switches_all_kinds_off_and_leaves_no_descriptor(
    handle: FakeIrq, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    irqs = Interrupts(handle)
    irqs.msix.enable(8)
    irqs.req[0]
    irqs.close()
    irqs.close()
    assert handle.enabled == {}
    assert len(handle.called("disable")) == 2
    assert descriptors() == before
    assert irqs.closed


def test_close_goes_on_when_one_kind_cannot_be_switched_off(handle: FakeIrq) -> None:
    irqs = Interrupts(handle)
    irqs.err[0], irqs.msi[0]
    req = irqs.req[0]
    handle.fail_next("disable", DmaError("injected"))
    handle.fail_next("disable", DmaError("injected too"))
    with pytest.raises(DmaError, match=r"^injected") as caught:
        irqs.close()
    assert "injected too" in caught.value.__notes__[0]
    assert len(handle.called("disable")) == 3
    with pytest.raises(Closed):
        req.try_take()


def test_an_eventfd_that_the_backend_may_still_signal_is_not_closed(
    handle: FakeIrq, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    irqs = Interrupts(handle)
    fd = irqs.msix[0].fileno()
    handle.fail_next("disable", DmaError("injected"))
    with pytest.raises(DmaError):
        irqs.close()
    handle.fire(IrqKind.MSIX, 0)
    assert os.eventfd_read(fd) >= 1
    irqs._let_go()  # the handle is closed by now
    assert descriptors() == before


def test_what_could_not_be_switched_off_is_tried_again(
    handle: FakeIrq, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    irqs = Interrupts(handle)
    irqs.msix.enable(2)
    handle.fail_next("disable", DmaError("injected"))
    with pytest.raises(DmaError):
        irqs.msix.disable()
    assert descriptors() == before + 2
    irqs.close()
    assert handle.enabled == {}
    assert descriptors() == before


def test_what_is_switched_on_again_replaces_what_could_not_be_switched_off(
    irqs: Interrupts, handle: FakeIrq, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    irqs.msix.enable(2)
    handle.fail_next("disable", DmaError("injected"))
    with pytest.raises(DmaError):
        irqs.msix.disable()
    irqs.msix.enable(1)
    assert descriptors() == before + 1


def test_an_enable_and_its_undoing_that_fail_leave_no_descriptor(
    handle: FakeIrq, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    irqs = Interrupts(handle)
    handle.fail_next("enable", DmaError("first"))
    handle.fail_next("disable", DmaError("second"))
    with pytest.raises(DmaError, match="first"):
        irqs.msix.enable(2)
    irqs.close()
    assert descriptors() == before


def test_use_after_close_raises(handle: FakeIrq) -> None:
    irqs = Interrupts(handle, name="fake")
    irqs.close()
    for use in (
        lambda: irqs.msix[0],
        lambda: irqs.msix.enable(1),
        irqs.msix.disable,
        irqs.__enter__,
    ):
        with pytest.raises(Closed, match="fake are closed"):
            use()


def test_a_forked_child_neither_uses_nor_switches_off(irqs: Interrupts, handle: FakeIrq) -> None:
    irqs.msix.enable(2)

    def child() -> None:
        for use in (lambda: irqs.msix[0], lambda: irqs.msix.enable(1), irqs.msix.disable):
            with pytest.raises(ForkedObject, match="parent"):
                use()
        irqs.close()
        assert handle.called("disable") == []

    in_forked_child(child)
    assert not irqs.closed


def collect(things: list[Interrupts]) -> None:
    things.clear()
    gc.collect()


def test_forgotten_interrupts_warn(handle: FakeIrq) -> None:
    irqs = Interrupts(handle, name="fake")
    irqs.msix.enable(1)
    forgotten = [irqs]
    del irqs
    with pytest.warns(ResourceWarning, match="fake were not closed"):
        collect(forgotten)


def test_closed_interrupts_do_not_warn(recwarn: pytest.WarningsRecorder, handle: FakeIrq) -> None:
    with Interrupts(handle) as irqs:
        irqs.msix.enable(1)
    del irqs
    gc.collect()
    assert [w for w in recwarn if w.category is ResourceWarning] == []
