from __future__ import annotations

import os
import select
from collections.abc import Iterator

import pytest

from pymmio.errors import DeviceTimeout, Unsupported
from pymmio.handle import CONFIG_REGION, IrqKind
from tests.unit.backend.qtest.conftest import Opener

TIMEOUT_S = 10


def comes(fd: int, timeout_s: float = TIMEOUT_S) -> bool:
    return bool(select.select([fd], [], [], timeout_s)[0]) and os.eventfd_read(fd) > 0


@pytest.fixture
def events() -> Iterator[list[int]]:
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(8)]
    yield fds
    for fd in fds:
        os.close(fd)


def test_counts_are_those_of_the_capabilities(opened: Opener) -> None:
    irq = opened()[0].irq
    counts = {kind: irq.count(kind) for kind in IrqKind}
    expected = {IrqKind.INTX: 1, IrqKind.MSI: 4, IrqKind.MSIX: 8, IrqKind.ERR: 0, IrqKind.REQ: 0}
    assert counts == expected
    with pytest.raises(Unsupported, match="8 vectors"):
        irq.enable(IrqKind.MSIX, [0] * 9)


def test_msix_goes_to_the_eventfd_of_its_vector(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    handle.irq.enable(IrqKind.MSIX, [events[0], -1, events[2]])
    assert not fake.send_msix(1)
    assert fake.send_msix(2)
    assert comes(events[2])
    assert fake.send_msix(0)
    assert comes(events[0])
    assert not comes(events[2], 0)


def test_msix_works_while_memory_decoding_is_off(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    assert handle.open_region(CONFIG_REGION).read(4, 2) == 0
    handle.irq.enable(IrqKind.MSIX, [events[0]])
    assert handle.open_region(CONFIG_REGION).read(4, 2) == 0
    assert fake.send_msix(0)
    assert comes(events[0])


def test_enabling_again_replaces_and_the_former_descriptors_are_let_go(
    opened: Opener, events: list[int]
) -> None:
    handle, fake = opened()
    handle.irq.enable(IrqKind.MSIX, events[:3])
    handle.irq.enable(IrqKind.MSIX, [events[5]])
    assert not fake.send_msix(1)
    assert fake.send_msix(0)
    assert comes(events[5])
    assert not comes(events[0], 0)
    fake.hear()
    assert len(fake.peers) == 1
    handle.irq.disable(IrqKind.MSIX)
    assert not fake.send_msix(0)
    fake.hear()
    assert not fake.peers


def test_ids_of_peers_are_never_used_again(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    for _ in range(5):
        handle.irq.enable(IrqKind.MSIX, events[:1])
        handle.irq.disable(IrqKind.MSIX)
    fake.hear()
    joined = [number for number in dict.fromkeys(fake.ids) if number > 1]
    assert joined == [2, 3, 4, 5, 6]


def test_no_vector_at_all_is_off(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    handle.irq.enable(IrqKind.MSIX, events[:1])
    handle.irq.enable(IrqKind.MSIX, [-1, -1])
    assert not fake.send_msix(0)


def test_msi_is_handed_on(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    handle.irq.enable(IrqKind.MSI, events[:3])
    assert fake.send_msi(2)
    assert comes(events[2])
    handle.irq.disable(IrqKind.MSI)
    assert not fake.send_msi(0)
    handle.irq.enable(IrqKind.MSI, [events[7]])  # the same eventfds of ours, another target
    assert not fake.send_msi(1)
    assert fake.send_msi(0)
    assert comes(events[7])
    assert not comes(events[0], 0)


def test_the_pin_is_masked_when_it_fires_and_fires_again_at_the_unmask(
    opened: Opener, events: list[int]
) -> None:
    handle, fake = opened()
    handle.irq.enable(IrqKind.INTX, events[:1])
    fake.set_pin(True)
    assert comes(events[0])
    handle.irq.unmask_intx()  # still asserted
    assert comes(events[0])
    fake.set_pin(False)
    handle.irq.unmask_intx()
    assert not comes(events[0], 0)
    fake.set_pin(True)
    assert comes(events[0])
    fake.set_pin(False)
    fake.set_pin(True)
    handle.open_region(CONFIG_REGION).read(0, 4)  # everything was read by now
    assert not comes(events[0], 0)


def test_a_pin_that_was_asserted_before_is_not_missed(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    fake.set_pin(True)
    handle.irq.enable(IrqKind.INTX, events[:1])
    assert comes(events[0])


def test_a_pin_that_is_disabled_in_command_does_not_fire(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    fake.set_pin(True)
    handle.open_region(CONFIG_REGION).write(4, 2, 0x400)
    handle.irq.enable(IrqKind.INTX, events[:1])
    assert not comes(events[0], 0)


def test_lines_of_others_are_not_the_pin(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    handle.irq.enable(IrqKind.INTX, events[:1])
    fake.set_pin(True, line=8)
    handle.open_region(CONFIG_REGION).read(0, 4)
    assert not comes(events[0], 0)


def test_unmask_without_enable_is_refused(opened: Opener, events: list[int]) -> None:
    handle, fake = opened()
    with pytest.raises(Unsupported, match="not enabled"):
        handle.irq.unmask_intx()
    handle.irq.enable(IrqKind.INTX, events[:1])
    handle.irq.disable(IrqKind.INTX)
    fake.set_pin(True)
    handle.open_region(CONFIG_REGION).read(0, 4)
    assert not comes(events[0], 0)


def test_a_failure_leaves_the_kind_off(
    opened: Opener, events: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle, fake = opened()

    def fail(count: int) -> None:
        raise Unsupported("injected")

    with monkeypatch.context() as patch:
        patch.setattr(handle.irq, "_write_table", fail)
        with pytest.raises(Unsupported, match="injected"):
            handle.irq.enable(IrqKind.MSIX, events[:1])
    assert not fake.send_msix(0)
    fake.hear()
    assert not fake.peers


@pytest.mark.parametrize("kind", [IrqKind.MSI, IrqKind.MSIX])
def test_what_could_not_be_disabled_is_asked_again(
    opened: Opener, events: list[int], monkeypatch: pytest.MonkeyPatch, kind: IrqKind
) -> None:
    handle, fake = opened()
    send = fake.send_msix if kind is IrqKind.MSIX else fake.send_msi

    def fail(*arguments: int) -> None:
        raise DeviceTimeout("injected")

    handle.irq.enable(kind, events[:2])
    with monkeypatch.context() as patch:
        patch.setattr(handle.irq, f"_set_{kind}_control", fail)
        for _ in range(2):
            with pytest.raises(DeviceTimeout, match="injected"):
                handle.irq.disable(kind)
    assert not comes(events[0], 0)
    handle.irq.disable(kind)
    handle.irq.restore()
    assert not send(0)
    handle.irq.enable(kind, events[:1])
    assert not send(1)
    assert send(0)
    assert comes(events[0])
