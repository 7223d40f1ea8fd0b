"""Interrupts: eventfds for the server, enable bits in configuration space, levels."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

import pymmio
from pymmio.errors import ProtocolError, Unsupported
from tests.unit.backend.vfio_user.fake_server import (
    IRQ_INFO,
    MSI_CONTROL,
    MSIX_CONTROL,
    SET_IRQS,
    FakeServer,
    Reply,
    fake_server,
)

TRIGGER_FDS, OFF, UNMASK = 0x24, 0x21, 0x11
TIMEOUT_S = 10.0


def sets(server: FakeServer) -> list[tuple[int, ...]]:
    """Return flags, index, start, count and number of descriptors of each SET_IRQS."""
    return [
        (*struct.unpack("=IIII", r.payload[4:20]), len(r.fds))
        for r in server.requests
        if r.command == SET_IRQS
    ]


def test_vectors_are_set_as_many_at_a_time_as_the_server_takes() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        vectors = device.irqs.msix.enable(6)
        assert sets(server) == [(TRIGGER_FDS, 2, 0, 4, 4), (TRIGGER_FDS, 2, 4, 2, 2)]
        server.trigger(2, 5)
        server.trigger(2, 5)
        assert vectors[5].wait(TIMEOUT_S) == 2
        assert vectors[0].try_take() == 0


def test_one_descriptor_at_a_time_where_the_server_does_not_say() -> None:
    with fake_server(capabilities={}) as (server, uri), pymmio.open_device(uri) as device:
        device.irqs.msix.enable(2)
        assert sets(server) == [(TRIGGER_FDS, 2, 0, 1, 1), (TRIGGER_FDS, 2, 1, 1, 1)]


def test_more_vectors_leave_those_that_are_on_alone() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        device.irqs.msix.enable(2)
        device.irqs.msix.enable(3)
        assert sets(server)[1:] == [(TRIGGER_FDS, 2, 2, 1, 1)]


def test_vectors_that_are_left_out_get_no_descriptor() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        device.irqs.msix.enable_only([1, 2, 5])
        assert sets(server) == [(TRIGGER_FDS, 2, 1, 2, 2), (TRIGGER_FDS, 2, 5, 1, 1)]


@pytest.mark.parametrize(
    ("kind", "control", "on", "off"),
    [("msix", MSIX_CONTROL, 0x8007, 0x0007), ("msi", MSI_CONTROL, 0x0025, 0x0004)],
)
def test_messages_are_enabled_in_configuration_space_too(
    kind: str, control: int, on: int, off: int
) -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        vectors = device.irqs.of_kind(pymmio.handle.IrqKind(kind))
        vectors.enable(4)
        assert struct.unpack_from("<H", server.config, control) == (on,)
        vectors.disable()
        assert struct.unpack_from("<H", server.config, control) == (off,)
        assert sets(server)[-1][:1] == (OFF,)
        assert not server.eventfds


def test_the_pin_is_unmasked_when_somebody_waits_again() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        pin = device.irqs.intx[0]
        server.trigger(0, 0)
        assert pin.wait(TIMEOUT_S) == 1
        assert (UNMASK, 0, 0, 1, 0) not in sets(server)
        assert pin.try_take() == 0
        assert sets(server)[-1] == (UNMASK, 0, 0, 1, 0)


def test_a_pin_that_is_not_masked_needs_no_message() -> None:
    def eventfd_only(request: object) -> Reply:
        return Reply(struct.pack("=IIII", 16, 1, 0, 1))

    with fake_server({IRQ_INFO: eventfd_only}) as (server, uri):
        with pymmio.open_device(uri) as device:
            pin = device.irqs.intx[0]
            server.trigger(0, 0)
            assert pin.wait(TIMEOUT_S) == 1
            pin.try_take()
            assert len(sets(server)) == 1


def test_a_failure_leaves_the_kind_off() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        seen: list[int] = []

        def second_fails(request: object) -> Reply:
            seen.append(1)
            return Reply(error=22 if len(seen) == 2 else None)

        server.answers[SET_IRQS] = second_fails
        with pytest.raises(Unsupported, match="msix 4 to 5"):
            device.irqs.msix.enable(6)
        assert sets(server)[-1] == (OFF, 2, 0, 0, 0)
        assert not struct.unpack_from("<H", server.config, MSIX_CONTROL)[0] & 0x8000
        assert device.irqs.msix.enabled == 0


def test_what_could_not_be_disabled_is_asked_again() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        device.irqs.msix.enable(2)
        server.answers[SET_IRQS] = lambda request: Reply(error=22)
        for _ in range(2):
            with pytest.raises(Unsupported, match="switching msix off"):
                device.irqs.msix.disable()
        del server.answers[SET_IRQS]
        device.irqs.msix.disable()
        device.irqs.msix.disable()
        assert [one for one in sets(server) if one[0] == OFF] == [(OFF, 2, 0, 0, 0)] * 3
        assert device.irqs.msix.enable(1)[0].try_take() == 0
        assert sets(server)[-1] == (TRIGGER_FDS, 2, 0, 1, 1)


@pytest.mark.parametrize(
    "reply",
    [
        lambda: Reply(bytes(8)),
        lambda: Reply(struct.pack("=IIII", 16, 1, 9, 1)),
        lambda: Reply(struct.pack("=IIII", 16, 1, 2, 2049)),
        lambda: Reply(struct.pack("=IIII", 16, 1, 2, 2**32 - 1)),
    ],
)
def test_counts_that_cannot_be(reply: Callable[[], Reply]) -> None:
    with fake_server({IRQ_INFO: lambda request: reply()}) as (_, uri):
        with pymmio.open_device(uri) as device, pytest.raises(ProtocolError):
            len(device.irqs.msix)


def test_kinds_that_the_server_refuses_or_does_not_count_are_none() -> None:
    with fake_server({IRQ_INFO: lambda request: Reply(error=22)}) as (_, uri):
        with pymmio.open_device(uri) as device:
            assert [len(device.irqs.of_kind(k)) for k in pymmio.handle.IrqKind] == [0] * 5
