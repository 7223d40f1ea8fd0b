from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from pymmio.backend.vfio.irq import VfioIrq, changed_pieces
from pymmio.errors import DeviceBusy, DeviceGone, Unsupported, VectorsExhausted
from pymmio.handle import IrqKind
from tests.unit.backend.vfio.fake_kernel import FakeKernel
from tests.unit.backend.vfio.helpers import open_fake

INTX, MSI, MSIX, ERR, REQ = 0, 1, 2, 3, 4


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


@pytest.fixture
def irq(kernel: FakeKernel) -> Iterator[VfioIrq]:
    device = open_fake(kernel)
    kernel.log.clear()
    yield device.irq
    device.close()


def test_counts_come_from_the_kernel(irq: VfioIrq) -> None:
    counts = [irq.count(kind) for kind in IrqKind]
    assert counts == [1, 1, 4, 0, 1]  # INTX, MSI, MSIX, ERR (EINVAL: not there), REQ


def test_kinds_beyond_what_the_device_announces_are_not_asked_for(kernel: FakeKernel) -> None:
    kernel.irq_count = 1
    irq = open_fake(kernel).irq
    kernel.log.clear()
    assert irq.count(IrqKind.MSIX) == 0
    assert kernel.log == []


def test_a_kind_without_eventfds_counts_as_none(kernel: FakeKernel, irq: VfioIrq) -> None:
    kernel.irqs[MSI] = (0, 1)
    assert irq.count(IrqKind.MSI) == 0


def test_vectors_are_set_in_order(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSIX, [11, 12, 13])
    assert kernel.triggers == {MSIX: [11, 12, 13]}
    irq.disable(IrqKind.MSIX)
    assert kernel.triggers == {}


@pytest.mark.parametrize("kind", [IrqKind.INTX, IrqKind.MSI, IrqKind.MSIX, IrqKind.REQ])
def test_each_kind_goes_by_its_own_index(kernel: FakeKernel, irq: VfioIrq, kind: IrqKind) -> None:
    irq.enable(kind, [11])
    assert kernel.triggers == {list(IrqKind).index(kind): [11]}


def test_as_many_vectors_replace_the_former_in_place(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSIX, [11, 12])
    kernel.log.clear()
    irq.enable(IrqKind.MSIX, [21, 22])
    assert kernel.triggers == {MSIX: [21, 22]}
    assert kernel.log.count("DEVICE_SET_IRQS") == 1


def test_more_vectors_are_added_in_place_where_the_kernel_can(
    kernel: FakeKernel, irq: VfioIrq
) -> None:
    irq.enable(IrqKind.MSIX, [11])
    kernel.log.clear()
    irq.enable(IrqKind.MSIX, [11, 12, 13, 14])
    assert kernel.triggers == {MSIX: [11, 12, 13, 14]}
    assert kernel.log.count("DEVICE_SET_IRQS") == 1


def test_more_vectors_switch_off_and_on_where_the_kernel_cannot(
    kernel: FakeKernel, irq: VfioIrq
) -> None:
    kernel.irqs[MSIX] = (0b1001, 4)  # NORESIZE
    irq.enable(IrqKind.MSIX, [11])
    kernel.log.clear()
    irq.enable(IrqKind.MSIX, [11, 12])
    assert kernel.triggers == {MSIX: [11, 12]}
    assert kernel.log.count("DEVICE_SET_IRQS") == 2


def test_fewer_vectors_leave_none_of_the_former_connected(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSIX, [11, 12, 13])
    irq.enable(IrqKind.MSIX, [21])
    assert kernel.triggers == {MSIX: [21]}


def test_no_vectors_disable(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSI, [11])
    irq.enable(IrqKind.MSI, [])
    assert kernel.triggers == {}


def test_disabling_what_is_off_asks_nothing(kernel: FakeKernel, irq: VfioIrq) -> None:
    for kind in IrqKind:
        irq.disable(kind)
    assert kernel.log == []


@pytest.mark.parametrize(("kind", "wanted"), [(IrqKind.MSIX, 5), (IrqKind.INTX, 2)])
def test_more_vectors_than_there_are_is_refused(
    kernel: FakeKernel, irq: VfioIrq, kind: IrqKind, wanted: int
) -> None:
    with pytest.raises(Unsupported, match=rf"{wanted} were asked for"):
        irq.enable(kind, list(range(11, 11 + wanted)))
    assert kernel.triggers == {}


def test_a_kind_that_the_device_lacks_is_refused(irq: VfioIrq) -> None:
    with pytest.raises(Unsupported, match="no interrupt of kind err"):
        irq.enable(IrqKind.ERR, [11])


def test_two_ways_of_signalling_at_once_are_refused(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSIX, [11])
    with pytest.raises(DeviceBusy, match="msi cannot be enabled while msix is"):
        irq.enable(IrqKind.MSI, [12])
    irq.enable(IrqKind.REQ, [13])  # stands beside them
    irq.disable(IrqKind.MSIX)
    irq.enable(IrqKind.MSI, [12])
    assert kernel.triggers == {MSI: [12], REQ: [13]}


def test_fewer_vectors_to_be_had_than_asked_for(kernel: FakeKernel, irq: VfioIrq) -> None:
    kernel.results["DEVICE_SET_IRQS"] = 2
    with pytest.raises(Unsupported, match="only 2 to give"):
        irq.enable(IrqKind.MSIX, [11, 12, 13, 14])
    kernel.results.clear()
    irq.enable(IrqKind.MSI, [11])  # MSI-X is not thought to be on
    assert kernel.triggers == {MSI: [11]}


def test_the_number_that_can_be_had_is_told(kernel: FakeKernel, irq: VfioIrq) -> None:
    kernel.vector_limit = 2
    with pytest.raises(VectorsExhausted) as caught:
        irq.enable(IrqKind.MSIX, [11, 12, 13, 14])
    assert caught.value.possible == 2
    irq.enable(IrqKind.MSIX, [11, 12])
    with pytest.raises(VectorsExhausted) as caught:
        irq.enable(IrqKind.MSIX, [11, 12, 13])
    assert caught.value.possible is None
    assert kernel.triggers == {}


def test_vectors_that_stay_are_not_touched(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSIX, [11, 12])
    kernel.triggers[MSIX] = [91, 92]  # what a kernel that is told nothing about them keeps
    irq.enable(IrqKind.MSIX, [11, 12, 13, 14])
    assert kernel.triggers == {MSIX: [91, 92, 13, 14]}


def test_a_sparse_set_takes_no_vectors_for_the_gaps(kernel: FakeKernel, irq: VfioIrq) -> None:
    kernel.irqs[MSIX] = (0b0001, 2048)
    kernel.vector_limit = 3
    wanted = [-1] * 2048
    wanted[7], wanted[8], wanted[2047] = 11, 12, 13
    irq.enable(IrqKind.MSIX, wanted)
    assert kernel.triggers == {MSIX: wanted}


def test_a_sparse_set_on_a_kernel_that_cannot_add_vectors(kernel: FakeKernel, irq: VfioIrq) -> None:
    kernel.irqs[MSIX] = (0b1001, 4)  # NORESIZE
    irq.enable(IrqKind.MSIX, [-1, 11, -1, 12])
    assert kernel.triggers == {MSIX: [-1, 11, -1, 12]}
    irq.enable(IrqKind.MSIX, [-1, 11, 13, 12])
    assert kernel.triggers == {MSIX: [-1, 11, 13, 12]}


def test_nothing_but_gaps_is_off(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSIX, [11])
    irq.enable(IrqKind.MSIX, [-1, -1])
    assert kernel.triggers == {}


@pytest.mark.parametrize(
    ("before", "wanted", "pieces"),
    [
        ([], [1, 2, 3], [(0, (1, 2, 3))]),
        ([], [-1, -1, 3], [(0, (-1,)), (2, (3,))]),
        ([], [1, -1, 3, 4], [(0, (1,)), (2, (3, 4))]),
        ([1], [1, 2], [(1, (2,))]),
        ([1, 2], [1, 2], []),
        ([1, 2], [5, 2, -1, 4], [(0, (5,)), (3, (4,))]),
        ([1, 2, 3], [1, -1, 3], [(1, (-1,))]),
    ],
)
def test_pieces(
    before: list[int], wanted: list[int], pieces: list[tuple[int, tuple[int, ...]]]
) -> None:
    assert changed_pieces(before, wanted) == pieces


@pytest.mark.parametrize(
    ("number", "expected", "said"),
    [
        (errno.ENODEV, DeviceGone, "gone"),
        (errno.EBUSY, DeviceBusy, "shared"),
        (errno.ENOSPC, Unsupported, "no more interrupt vectors"),
        (errno.EINVAL, Unsupported, "EINVAL"),
    ],
)
def test_errors_of_the_kernel_are_named(
    kernel: FakeKernel, irq: VfioIrq, number: int, expected: type[Exception], said: str
) -> None:
    kernel.errors["DEVICE_SET_IRQS"] = number
    with pytest.raises(expected, match=said):
        irq.enable(IrqKind.INTX, [11])
    kernel.errors.clear()
    irq.enable(IrqKind.INTX, [11])
    assert kernel.triggers == {INTX: [11]}


def test_an_error_while_asking_is_named(kernel: FakeKernel, irq: VfioIrq) -> None:
    kernel.errors["DEVICE_GET_IRQ_INFO"] = errno.ENODEV
    with pytest.raises(DeviceGone):
        irq.count(IrqKind.MSI)


def test_what_could_not_be_disabled_is_on_until_it_can(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSI, [11])
    kernel.errors["DEVICE_SET_IRQS"] = errno.EIO
    with pytest.raises(Unsupported, match="disabling msi"):
        irq.disable(IrqKind.MSI)
    with pytest.raises(DeviceBusy):
        irq.enable(IrqKind.INTX, [12])
    kernel.errors.clear()
    kernel.log.clear()
    irq.disable(IrqKind.MSI)
    asked = list(kernel.log)
    assert asked
    irq.disable(IrqKind.MSI)
    assert kernel.log == asked


def test_a_device_that_is_gone_is_disabled_once(kernel: FakeKernel, irq: VfioIrq) -> None:
    irq.enable(IrqKind.MSI, [11])
    kernel.errors["DEVICE_SET_IRQS"] = errno.ENODEV
    with pytest.raises(DeviceGone):
        irq.disable(IrqKind.MSI)
    irq.disable(IrqKind.MSI)


def test_intx_is_unmasked_while_it_is_enabled(kernel: FakeKernel, irq: VfioIrq) -> None:
    with pytest.raises(Unsupported, match="not enabled"):
        irq.unmask_intx()
    irq.enable(IrqKind.INTX, [11])
    irq.unmask_intx()
    assert kernel.unmasked == 1
    kernel.errors["DEVICE_SET_IRQS"] = errno.ENODEV
    with pytest.raises(DeviceGone, match="unmasking"):
        irq.unmask_intx()
