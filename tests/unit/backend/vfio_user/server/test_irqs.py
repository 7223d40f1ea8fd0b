"""Interrupts as clients set them up."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymmio.backend.vfio_user.messages import (
    Command,
    IrqAction,
    IrqData,
    IrqFlags,
    IrqIndex,
    IrqInfo,
)
from tests.unit.backend.vfio_user.server.raw import (
    COMMAND,
    MASTER,
    MEMORY,
    IrqKind,
    RawClient,
    Refused,
    served,
)

INTX, MSI, MSIX, ERR, REQ = IrqIndex
NONE, BOOL, EVENTFD = IrqData
MASK, UNMASK, TRIGGER = IrqAction


@pytest.fixture
def eventfds() -> Iterator[list[int]]:
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(4)]
    yield fds
    for fd in fds:
        os.close(fd)


def count(fd: int) -> int:
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


def info(client: RawClient, index: int) -> IrqInfo:
    reply = client.ask(Command.DEVICE_GET_IRQ_INFO, IrqInfo(index).pack())
    return IrqInfo.parse(reply.payload)


def test_kinds_and_counts(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, _, _):
        assert [info(client, index).count for index in IrqIndex] == [1, 2, 4, 1, 1]
        assert info(client, INTX).flags == (
            IrqFlags.EVENTFD | IrqFlags.MASKABLE | IrqFlags.AUTOMASKED
        )
        assert info(client, MSIX).flags == IrqFlags.EVENTFD
        with pytest.raises(Refused) as caught:
            info(client, 5)
        assert caught.value.number == errno.EINVAL


def test_vectors_go_to_the_eventfds_that_they_were_given(
    tmp_path: Path, eventfds: list[int]
) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.set_irqs(MSIX, EVENTFD, TRIGGER, 1, 2, eventfds[1:3])
        with server.lock:
            for vector in range(5):
                model.host.raise_irq(IrqKind.MSIX, vector)
            model.host.raise_irq(IrqKind.MSI, 1)
        assert [count(fd) for fd in eventfds] == [0, 1, 1, 0]


def test_as_qemu_does_it_enabled_without_descriptors_then_one_by_one(
    tmp_path: Path, eventfds: list[int]
) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.set_irqs(MSIX, EVENTFD, TRIGGER, 0, 1)
        for vector, fd in enumerate(eventfds):
            client.set_irqs(MSIX, EVENTFD, TRIGGER, vector, 1, [fd])
        client.set_irqs(MSIX, EVENTFD, TRIGGER, 2, 1)
        with server.lock:
            for vector in range(4):
                model.host.raise_irq(IrqKind.MSIX, vector)
        assert [count(fd) for fd in eventfds] == [1, 1, 0, 1]
        client.set_irqs(MSIX, NONE, TRIGGER, 0, 0)
        with server.lock:
            model.host.raise_irq(IrqKind.MSIX, 0)
        assert count(eventfds[0]) == 0


def test_configuration_space_shows_what_is_enabled(tmp_path: Path, eventfds: list[int]) -> None:
    with served(tmp_path) as (_, client, server, _):
        at = server._device.config.msix_offset
        assert at is not None
        assert not client.read(7, at + 3, 1)[0] & 0x80
        client.set_irqs(MSIX, EVENTFD, TRIGGER, 0, 1, eventfds[:1])
        assert client.read(7, at + 3, 1)[0] & 0x80
        client.set_irqs(MSIX, NONE, TRIGGER, 0, 0)
        assert not client.read(7, at + 3, 1)[0] & 0x80


def test_no_message_is_sent_without_bus_mastering(tmp_path: Path, eventfds: list[int]) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.set_irqs(MSI, EVENTFD, TRIGGER, 0, 1, eventfds[:1])
        client.switch_on(MEMORY)
        with server.lock:
            model.host.raise_irq(IrqKind.MSI, 0)
        assert count(eventfds[0]) == 0


def test_intx_is_a_level_that_is_masked_when_it_fires(tmp_path: Path, eventfds: list[int]) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.set_irqs(INTX, EVENTFD, TRIGGER, 0, 1, eventfds[:1])
        with server.lock:
            model.host.raise_irq(IrqKind.INTX)
            model.host.raise_irq(IrqKind.INTX)
        assert count(eventfds[0]) == 1
        assert client.read(7, 6, 1)[0] & 8
        client.set_irqs(INTX, NONE, UNMASK, 0, 1)
        assert count(eventfds[0]) == 1  # it is asserted still
        with server.lock:
            model.host.lower_intx()
        client.set_irqs(INTX, BOOL, UNMASK, 0, 1, chosen=[True])
        assert count(eventfds[0]) == 0
        assert not client.read(7, 6, 1)[0] & 8


def test_intx_waits_until_it_has_an_eventfd_and_command_lets_it(
    tmp_path: Path, eventfds: list[int]
) -> None:
    with served(tmp_path) as (model, client, server, _):
        with server.lock:
            model.host.raise_irq(IrqKind.INTX)
        client.write(7, COMMAND, (MEMORY | MASTER | 1 << 10).to_bytes(2, "little"))
        client.set_irqs(INTX, EVENTFD, TRIGGER, 0, 1, eventfds[:1])
        assert count(eventfds[0]) == 0
        client.switch_on()
        assert count(eventfds[0]) == 1


def test_intx_can_be_unmasked_by_an_eventfd(tmp_path: Path, eventfds: list[int]) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.set_irqs(INTX, EVENTFD, TRIGGER, 0, 1, eventfds[:1])
        client.set_irqs(INTX, EVENTFD, UNMASK, 0, 1, eventfds[1:2])
        with server.lock:
            model.host.raise_irq(IrqKind.INTX)
        for _ in range(3):
            poll = select.poll()
            poll.register(eventfds[0], select.POLLIN)
            assert poll.poll(10_000)
            assert count(eventfds[0]) == 1
            os.eventfd_write(eventfds[1], 1)
        with server.lock:
            model.host.lower_intx()


def test_masked_vectors_are_sent_when_they_are_unmasked(
    tmp_path: Path, eventfds: list[int]
) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.set_irqs(MSIX, EVENTFD, TRIGGER, 0, 4, eventfds)
        client.set_irqs(MSIX, BOOL, MASK, 0, 4, chosen=[True, False, True, False])
        with server.lock:
            for vector in (0, 0, 1):
                model.host.raise_irq(IrqKind.MSIX, vector)
        assert [count(fd) for fd in eventfds] == [0, 1, 0, 0]
        client.set_irqs(MSIX, NONE, UNMASK, 0, 4)
        assert [count(fd) for fd in eventfds] == [1, 0, 0, 0]


def test_a_client_can_trigger_vectors_itself(tmp_path: Path, eventfds: list[int]) -> None:
    with served(tmp_path) as (_, client, _, _):
        client.set_irqs(MSI, EVENTFD, TRIGGER, 0, 2, eventfds[:2])
        client.set_irqs(MSI, NONE, TRIGGER, 0, 2)
        client.set_irqs(MSI, BOOL, TRIGGER, 0, 2, chosen=[False, True])
        assert [count(fd) for fd in eventfds] == [1, 2, 0, 0]


@pytest.mark.parametrize("index", [ERR, REQ])
def test_events_can_be_set_up_and_not_masked(
    tmp_path: Path, eventfds: list[int], index: IrqIndex
) -> None:
    with served(tmp_path) as (_, client, _, _):
        client.set_irqs(index, EVENTFD, TRIGGER, 0, 1, eventfds[:1])
        with pytest.raises(Refused):
            client.set_irqs(index, NONE, MASK, 0, 1)


@pytest.mark.parametrize(
    ("index", "data", "action", "start", "size", "fds"),
    [
        (5, NONE, TRIGGER, 0, 0, 0),
        (MSIX, EVENTFD, TRIGGER, 4, 1, 1),
        (MSIX, EVENTFD, TRIGGER, 3, 2, 2),
        (MSIX, NONE, MASK, 0, 5, 0),
        (MSI, EVENTFD, TRIGGER, 0xFFFF_FFF0, 4, 4),
        (INTX, NONE, UNMASK, 1, 1, 0),
    ],
)
def test_interrupts_that_there_are_not_are_refused(
    tmp_path: Path,
    eventfds: list[int],
    index: int,
    data: IrqData,
    action: IrqAction,
    start: int,
    size: int,
    fds: int,
) -> None:
    with served(tmp_path) as (_, client, _, _):
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Refused) as caught:
            client.set_irqs(index, data, action, start, size, eventfds[:fds])
        assert caught.value.number == errno.EINVAL
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("action", [MASK, UNMASK])
def test_eventfds_for_masks_of_vectors_are_refused(
    tmp_path: Path, eventfds: list[int], action: IrqAction
) -> None:
    with served(tmp_path) as (_, client, _, _), pytest.raises(Refused) as caught:
        client.set_irqs(MSIX, EVENTFD, action, 0, 1, eventfds[:1])
    assert caught.value.number == errno.EOPNOTSUPP


def test_what_is_no_eventfd_is_refused_and_the_old_ones_stay(
    tmp_path: Path, eventfds: list[int]
) -> None:
    reading, writing = os.pipe()
    with served(tmp_path) as (model, client, server, _):
        client.set_irqs(MSI, EVENTFD, TRIGGER, 0, 2, eventfds[:2])
        before = len(os.listdir("/proc/self/fd"))
        for wrong in ([writing, eventfds[2]], [eventfds[2], writing]):
            with pytest.raises(Refused) as caught:
                client.set_irqs(MSI, EVENTFD, TRIGGER, 0, 2, wrong)
            assert caught.value.number == errno.EINVAL
        assert len(os.listdir("/proc/self/fd")) == before
        with server.lock:
            model.host.raise_irq(IrqKind.MSI, 1)
        assert count(eventfds[1]) == 1
    os.close(reading)
    os.close(writing)


def test_a_full_counter_of_an_eventfd_that_blocks_stops_nobody(tmp_path: Path) -> None:
    full = os.eventfd(0, os.EFD_CLOEXEC)
    os.eventfd_write(full, (1 << 64) - 2)
    with served(tmp_path) as (model, client, server, _):
        client.set_irqs(MSI, EVENTFD, TRIGGER, 0, 1, [full])
        client.set_irqs(MSI, NONE, TRIGGER, 0, 1)
        with server.lock:
            model.host.raise_irq(IrqKind.MSI, 0)
        assert client.read(7, 0, 2) == b"\xf4\x1a"
    os.close(full)


def test_a_counter_that_is_filled_at_the_last_moment_stops_nobody_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymmio.backend.served.interrupts._has_room", lambda fd: True)
    monkeypatch.setattr("pymmio.backend.vfio_user.server.server._LOOK_S", 0.02)
    full = os.eventfd(0, os.EFD_CLOEXEC)
    os.eventfd_write(full, (1 << 64) - 2)
    with served(tmp_path) as (_, client, _, _):
        client.set_irqs(MSI, EVENTFD, TRIGGER, 0, 1, [full])
        client.set_irqs(MSI, NONE, TRIGGER, 0, 1)
        assert client.read(7, 0, 2) == b"\xf4\x1a"
    os.close(full)


def test_eventfds_are_closed_with_the_client(tmp_path: Path, eventfds: list[int]) -> None:
    with served(tmp_path) as (model, client, server, _):
        before = len(os.listdir("/proc/self/fd"))
        client.set_irqs(MSIX, EVENTFD, TRIGGER, 0, 4, eventfds)
        client.set_irqs(INTX, EVENTFD, UNMASK, 0, 1, eventfds[:1])
        for _ in range(3):
            client.set_irqs(MSIX, EVENTFD, TRIGGER, 0, 1, eventfds[:1])
        assert len(os.listdir("/proc/self/fd")) == before + 5
        client.close()
        following = RawClient(server.path)
        following.agree()
        following.switch_on()
        assert len(os.listdir("/proc/self/fd")) == before
        with server.lock:
            model.host.raise_irq(IrqKind.MSIX, 0)
        assert count(eventfds[0]) == 0
        following.close()
