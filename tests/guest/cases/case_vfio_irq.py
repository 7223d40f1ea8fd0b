"""Interrupts through SET_IRQS, seen with edu (INTx, MSI) and nvme (MSI-X)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pymmio.errors import DeviceBusy, Unsupported
from pymmio.handle import IrqKind
from tests.guest.cases.vfio_common import bound_handle, events, refuses
from tests.guest.inside import EDU, NVME
from tests.guest.interfaces import by_interface

# QEMU docs/specs/edu.rst
IRQ_STATUS, IRQ_RAISE, IRQ_ACK = 0x24, 0x60, 0x64
ARRIVES_S, QUIET_S = 5.0, 0.1


@contextmanager
def _eventfds(count: int) -> Iterator[list[int]]:
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(count)]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


@by_interface()
def case_counts() -> None:
    with bound_handle(EDU) as edu:
        assert [edu.irq.count(kind) for kind in IrqKind] == [1, 1, 0, 0, 1]
    with bound_handle(NVME) as nvme:
        assert nvme.irq.count(IrqKind.MSIX) >= 2
        assert nvme.irq.count(IrqKind.ERR) == 1  # a PCI Express function


@by_interface()
def case_msi_of_edu_arrives_and_stops_when_disabled() -> None:
    with bound_handle(EDU) as edu, _eventfds(1) as (fd,):
        bar = edu.open_region(0)
        edu.irq.enable(IrqKind.MSI, [fd])
        for number in range(1, 4):
            bar.write(IRQ_RAISE, 4, number)
            assert events(fd, ARRIVES_S) == 1
            assert bar.read(IRQ_STATUS, 4) == number
            bar.write(IRQ_ACK, 4, number)
        edu.irq.disable(IrqKind.MSI)
        bar.write(IRQ_RAISE, 4, 1)
        bar.write(IRQ_ACK, 4, 1)
        assert events(fd, QUIET_S) == 0


@by_interface()
def case_another_eventfd_takes_the_place_of_the_first() -> None:
    with bound_handle(EDU) as edu, _eventfds(2) as (first, second):
        bar = edu.open_region(0)
        edu.irq.enable(IrqKind.MSI, [first])
        edu.irq.enable(IrqKind.MSI, [second])
        bar.write(IRQ_RAISE, 4, 1)
        assert events(second, ARRIVES_S) == 1
        assert events(first, 0.0) == 0
        bar.write(IRQ_ACK, 4, 1)


@by_interface()
def case_intx_is_masked_after_each_event_until_it_is_unmasked() -> None:
    with bound_handle(EDU) as edu, _eventfds(1) as (fd,):
        bar = edu.open_region(0)
        edu.irq.enable(IrqKind.INTX, [fd])
        bar.write(IRQ_RAISE, 4, 1)
        assert events(fd, ARRIVES_S) == 1
        bar.write(IRQ_RAISE, 4, 2)  # the line is still up, and masked
        assert events(fd, QUIET_S) == 0
        edu.irq.unmask_intx()
        assert events(fd, ARRIVES_S) == 1  # it was still up
        bar.write(IRQ_ACK, 4, 3)
        edu.irq.unmask_intx()
        assert events(fd, QUIET_S) == 0
        bar.write(IRQ_RAISE, 4, 4)
        assert events(fd, ARRIVES_S) == 1
        bar.write(IRQ_ACK, 4, 4)
        edu.irq.disable(IrqKind.INTX)


@by_interface()
def case_intx_and_msi_exclude_each_other() -> None:
    with bound_handle(EDU) as edu, _eventfds(2) as (first, second):
        edu.irq.enable(IrqKind.INTX, [first])
        with refuses(DeviceBusy, "disable intx first"):
            edu.irq.enable(IrqKind.MSI, [second])
        edu.irq.disable(IrqKind.INTX)
        edu.irq.enable(IrqKind.MSI, [second])


@by_interface()
def case_msix_vectors_grow_and_shrink() -> None:
    with bound_handle(NVME) as nvme:
        most = nvme.irq.count(IrqKind.MSIX)
        with _eventfds(most) as fds:
            for count in (1, 2, most, 3, 1, 2):
                nvme.irq.enable(IrqKind.MSIX, fds[:count])
            nvme.irq.disable(IrqKind.MSIX)
            with refuses(Unsupported, f"{most + 1} were asked for"):
                nvme.irq.enable(IrqKind.MSIX, [*fds, fds[0]])


@by_interface()
def case_req_stands_beside_msi() -> None:
    with bound_handle(EDU) as edu, _eventfds(2) as (msi, req):
        edu.irq.enable(IrqKind.REQ, [req])
        edu.irq.enable(IrqKind.MSI, [msi])
        bar = edu.open_region(0)
        bar.write(IRQ_RAISE, 4, 1)
        assert events(msi, ARRIVES_S) == 1
        bar.write(IRQ_ACK, 4, 1)
        edu.irq.disable(IrqKind.REQ)
        edu.irq.disable(IrqKind.MSI)


@by_interface()
def case_closing_with_interrupts_on_leaves_a_device_that_opens_again() -> None:
    for _ in range(2):
        with bound_handle(EDU) as edu, _eventfds(1) as (fd,):
            edu.irq.enable(IrqKind.MSI, [fd])
