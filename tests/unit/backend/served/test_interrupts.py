"""Interrupts of a model that go to eventfds of somebody who is not trusted."""

from __future__ import annotations

import os

import pytest

from pymmio.backend.model_config import ConfigModel
from pymmio.backend.served import ServedIrq, empty_eventfd
from pymmio.handle import IrqKind
from tests.unit.backend.sim.rig import Rig

FULL = (1 << 64) - 2


def lines(*, wary: bool) -> ServedIrq:
    model = Rig()
    config = ConfigModel(model)
    config.write(4, 2, 0x6)
    return ServedIrq(model, config, wary=wary)


@pytest.mark.parametrize("flags", [0, os.EFD_NONBLOCK])
@pytest.mark.parametrize("knows_nowait", [True, False])
def test_emptying_never_waits(
    monkeypatch: pytest.MonkeyPatch, flags: int, knows_nowait: bool
) -> None:
    def refuse(*of: object) -> int:
        raise OSError(95, "not supported")

    if not knows_nowait:
        monkeypatch.setattr(os, "preadv", refuse)
    eventfd = os.eventfd(3, flags)
    empty_eventfd(eventfd)
    empty_eventfd(eventfd)
    os.set_blocking(eventfd, False)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(eventfd)
    os.close(eventfd)


def test_a_full_counter_that_blocks_is_not_written_to() -> None:
    eventfd = os.eventfd(0)
    os.eventfd_write(eventfd, FULL)
    irq = lines(wary=True)
    irq.enable(IrqKind.MSIX, [eventfd])
    irq.raise_irq(IrqKind.MSIX, 0)
    assert os.eventfd_read(eventfd) == FULL
    os.close(eventfd)


def test_vectors_are_set_one_by_one_and_the_old_eventfd_is_given_back() -> None:
    eventfds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
    irq = lines(wary=False)
    assert irq.set_vector(IrqKind.MSIX, 2, eventfds[0]) == -1
    assert irq.eventfds(IrqKind.MSIX) == (-1, -1, eventfds[0])
    assert irq.set_vector(IrqKind.MSIX, 2, eventfds[1]) == eventfds[0]
    irq.raise_irq(IrqKind.MSIX, 2)
    irq.raise_irq(IrqKind.MSIX, 0)
    assert os.eventfd_read(eventfds[1]) == 1
    irq.disable(IrqKind.MSIX)
    assert irq.eventfds(IrqKind.MSIX) == ()
    for eventfd in eventfds:
        os.close(eventfd)


def test_a_disabled_kind_forgets_what_was_masked_and_pending() -> None:
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    irq = lines(wary=False)
    irq.enable(IrqKind.MSI, [eventfd])
    irq.mask(IrqKind.MSI, 0)
    irq.raise_irq(IrqKind.MSI, 0)
    irq.disable(IrqKind.MSI)
    irq.enable(IrqKind.MSI, [eventfd])
    irq.unmask(IrqKind.MSI, 0)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(eventfd)
    irq.raise_irq(IrqKind.MSI, 0)
    assert os.eventfd_read(eventfd) == 1
    os.close(eventfd)
