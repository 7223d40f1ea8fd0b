"""Virtio over PCI: capabilities that a device may have wrong, notifications, vectors."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from pymmio.backend.model import BarSpec
from pymmio.device import Device
from pymmio.errors import (
    DeviceGone,
    DeviceNotFound,
    OutOfBounds,
    ProtocolError,
    PymmioError,
    Unsupported,
)
from pymmio.handle import Iova
from pymmio.testing import open_model
from pymmio.virtio import VirtioDevice
from pymmio.virtio.transport import PciTransport, QueueAddresses
from tests.unit.virtio.echo import EchoModel

COMMON, NOTIFY, ISR, CONFIG, WINDOW, SHARED, VENDOR = 1, 2, 3, 4, 5, 8, 9  # virtio 1.2 §4.1.4
BAR = 4


def capability(
    cfg_type: int, offset: int, size: int, *more: int, bar: int = BAR, id: int = 0
) -> bytes:
    """Return a vendor capability behind its length byte (§4.1.4)."""
    return struct.pack(
        f"<BBBHII{len(more)}I",
        cfg_type,
        bar,
        id,
        0,
        offset & 0xFFFF_FFFF,
        size & 0xFFFF_FFFF,
        *more,
    )


def shared(id: int, offset: int, size: int, bar: int = 2) -> bytes:
    return capability(SHARED, offset, size, offset >> 32, size >> 32, bar=bar, id=id)


USUAL = {
    COMMON: capability(COMMON, 0x0000, 0x38),
    ISR: capability(ISR, 0x1000, 4),
    CONFIG: capability(CONFIG, 0x2000, 0x100),
    NOTIFY: capability(NOTIFY, 0x3000, 0x400, 4),
}


class Shaped(EchoModel):
    """An echo device whose capabilities are given, and a BAR 2 of 64 KiB."""

    def __init__(self, capabilities: Sequence[bytes]) -> None:
        super().__init__()
        self.vendor_capabilities = list(capabilities)
        self.notify_off: int | None = None
        self.refused_vectors: set[int] = set()

    def extra_bars(self) -> Sequence[BarSpec]:
        return (BarSpec(2, 1 << 16, prefetchable=True, ram=True),)

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        if (bar, offset, width) == (BAR, 0x1E, 2) and self.notify_off is not None:
            return self.notify_off
        return super().bar_read(bar, offset, width)

    def _vector(self, value: int) -> int:
        return 0xFFFF if value in self.refused_vectors else super()._vector(value)


def usual(**changed: bytes | None) -> list[bytes]:
    """Return the usual capabilities, with some changed (by name), or left out (None)."""
    names = {"common": COMMON, "isr": ISR, "config": CONFIG, "notify": NOTIFY}
    made = dict(USUAL)
    for name, value in changed.items():
        if value is None:
            del made[names[name]]
        else:
            made[names[name]] = value
    return list(made.values())


def opened(capabilities: Sequence[bytes]) -> Device:
    return open_model(Shaped(capabilities))


def test_the_usual_ones() -> None:
    with opened(usual()) as device:
        transport = PciTransport(device)
        assert transport.device_type == 42
        assert transport.queue_count == 2
        assert transport.config_size == 0x100
        assert transport.shared_memory() == []


@pytest.mark.parametrize("kind", [COMMON, ISR, CONFIG, NOTIFY, SHARED])
def test_a_capability_that_is_too_short(kind: int) -> None:
    short = (shared(0, 0, 4096) if kind == SHARED else USUAL[kind])[:-4]
    rest = [one for which, one in USUAL.items() if which != kind]
    with opened([*rest, short]) as device, pytest.raises(ProtocolError, match="are needed"):
        PciTransport(device)


@pytest.mark.parametrize("short", [b"", b"\x01"])
def test_one_too_short_to_have_a_type(short: bytes) -> None:
    with opened([short, *usual()]) as device:
        if short:
            with pytest.raises(ProtocolError, match="are needed"):
                PciTransport(device)
        else:
            PciTransport(device)  # somebody else's


@pytest.mark.parametrize(
    "strange",
    [
        capability(COMMON, 0xFFFF_0000, 0x38, bar=6),  # reserved BAR
        capability(COMMON, 0xFFFF_0000, 0x38, bar=255),
        capability(COMMON, 0, 0x38, bar=3),  # no such BAR
        capability(VENDOR, 0xFFFF_0000, 0x38),
        capability(WINDOW, 0xFFFF_0000, 0x38, 0),
        capability(0, 0, 0),  # reserved types
        capability(77, 0, 0),
        capability(VENDOR, 0, 0)[:6],
    ],
    ids=["BAR 6", "BAR 255", "no BAR", "vendor", "window", "type 0", "type 77", "short vendor"],
)
def test_what_the_specification_reserves_is_passed_over(strange: bytes) -> None:
    with opened([strange, *usual()]) as device:
        assert PciTransport(device).queue_count == 2


def test_of_several_the_first_that_can_be_used_is_taken() -> None:
    first = capability(CONFIG, 0x2000, 0x10)
    elsewhere = capability(CONFIG, 0x2000, 0x20, bar=3)
    with opened([elsewhere, first, *usual()]) as device:
        assert PciTransport(device).config_size == 0x10


@pytest.mark.parametrize(
    ("kind", "offset", "size"),
    [
        (COMMON, 0, 0x37),
        (COMMON, 0x3FD0, 0x38),
        (COMMON, 0xFFFF_FFF0, 0x38),
        (COMMON, 0x10, 0xFFFF_FFF8),
        (ISR, 0x1000, 0),
        (ISR, 0x4000, 1),
        (CONFIG, 0x3F00, 0x101),
        (CONFIG, 0xFFFF_FFFF, 0xFFFF_FFFF),
        (NOTIFY, 0x4000, 2),
    ],
)
def test_a_structure_outside_its_bar(kind: int, offset: int, size: int) -> None:
    more = (4,) if kind == NOTIFY else ()
    rest = [one for which, one in USUAL.items() if which != kind]
    with (
        opened([*rest, capability(kind, offset, size, *more)]) as device,
        pytest.raises(ProtocolError, match="does not fit"),
    ):
        PciTransport(device)


@pytest.mark.parametrize("kind", [COMMON, CONFIG, NOTIFY])
def test_a_structure_at_an_odd_place(kind: int) -> None:
    more = (4,) if kind == NOTIFY else ()
    rest = [one for which, one in USUAL.items() if which != kind]
    with (
        opened([*rest, capability(kind, 0x2001, 0x40, *more)]) as device,
        pytest.raises(ProtocolError, match="no multiple"),
    ):
        PciTransport(device)


@pytest.mark.parametrize(("missing", "named"), [("isr", "ISR"), ("notify", "NOTIFY")])
def test_a_structure_that_every_device_has_is_missing(missing: str, named: str) -> None:
    with opened(usual(**{missing: None})) as device, pytest.raises(ProtocolError, match=named):
        PciTransport(device)


def test_a_device_without_configuration() -> None:
    with opened(usual(config=None)) as device:
        transport = PciTransport(device)
        assert transport.config_size == 0
        with pytest.raises(OutOfBounds, match="no device-specific configuration"):
            transport.read_config(0, 4)


def test_legacy_devices_are_refused() -> None:
    with opened([]) as device, pytest.raises(Unsupported, match="legacy") as caught:
        PciTransport(device)
    assert "disable-modern=off" in str(caught.value)


@pytest.mark.parametrize(
    ("product", "device_type"),
    [  # virtio 1.2 §4.1.2.1
        (0x1000, 1),
        (0x1001, 2),
        (0x1002, 5),
        (0x1003, 3),
        (0x1004, 8),
        (0x1005, 4),
        (0x1009, 9),
        (0x1041, 1),
        (0x105B, 27),
        (0x107F, 63),
        (0x1010, 0x1234),  # transitional, not listed: its subsystem id says it
    ],
)
def test_the_type_is_in_the_id(product: int, device_type: int) -> None:
    model = Shaped(usual())
    model.device_id, model.subsystem_id = product, 0x1234
    with open_model(model) as device:
        assert PciTransport(device).device_type == device_type


@pytest.mark.parametrize(
    ("vendor", "product"), [(0x1AF4, 0x0FFF), (0x1AF4, 0x1080), (0x8086, 0x1041)]
)
def test_others_are_no_virtio_devices(vendor: int, product: int) -> None:
    model = Shaped(usual())
    model.vendor_id, model.device_id = vendor, product
    with open_model(model) as device, pytest.raises(Unsupported, match="no virtio device"):
        PciTransport(device)


# --- notifications ------------------------------------------------------------------------------


def _echo(device: VirtioDevice, index: int) -> None:
    buffer = device.dma.alloc(4096)
    memoryview(buffer)[:4] = b"echo"
    queue = device.queues[index]
    assert queue.wait(queue.submit([buffer[:4]], [buffer[8:12]]), 5.0) == 4
    assert bytes(buffer)[8:12] == b"echo"


class OneBell(Shaped):
    """All queues are notified at one place, or at places 2 bytes apart: the value tells which."""

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        if bar == BAR and 0x3000 <= offset < 0x3400:
            assert width == 2
            self._notified(value)
        else:
            super().bar_write(bar, offset, width, value)


@pytest.mark.parametrize("multiplier", [0, 2, 4, 64])
def test_the_multiplier_says_where_queues_are_notified(multiplier: int) -> None:
    model = OneBell(usual(notify=capability(NOTIFY, 0x3000, 0x400, multiplier)))
    with VirtioDevice.open(open_model(model)) as device:
        device.start({0: None, 1: None}, interrupts=False)
        for index in (0, 1, 0):
            _echo(device, index)
            assert device.queues[index].doorbell.offset == index * multiplier


@pytest.mark.parametrize(
    ("multiplier", "notify_off"),
    [(4, 0x100), (4, 0xFFFF), (0xFFFF_FFFF, 0xFFFF), (1, 1), (3, 1), (0x3FF, 1)],
)
def test_a_notification_outside_or_at_an_odd_place(multiplier: int, notify_off: int) -> None:
    model = Shaped(usual(notify=capability(NOTIFY, 0x3000, 0x400, multiplier)))
    model.notify_off = notify_off
    with VirtioDevice.open(open_model(model)) as device:
        before = device.dma.mapped_bytes
        with pytest.raises(ProtocolError, match="is notified at"):
            device.start({0: None}, interrupts=False)
        assert device.dma.mapped_bytes == before


# --- vectors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", [0, 1, 2])
def test_a_vector_that_the_device_refuses(refused: int) -> None:
    model = Shaped(usual())
    model.refused_vectors = {refused}
    with VirtioDevice.open(open_model(model)) as device:
        before = device.dma.mapped_bytes
        with pytest.raises(Unsupported, match=f"no room for MSI-X vector {refused}"):
            device.start({0: None, 1: None})
        assert device.dma.mapped_bytes == before
        model.refused_vectors = set()
        device.start({0: None, 1: None}, interrupts=True)
        _echo(device, 1)


@pytest.mark.parametrize("vectors", [1, 2, 3])
def test_queues_share_vectors_where_there_are_few(vectors: int) -> None:
    model = Shaped(usual())
    model.msix_vectors = vectors
    with VirtioDevice.open(open_model(model)) as device:
        device.start({0: None, 1: None}, interrupts=True)
        assert [queue.vector for queue in model._queues] == [
            min(1, vectors - 1),
            min(2, vectors - 1),
        ]
        for index in (0, 1):
            buffer = device.dma.alloc(4096)
            assert device.queues[index].submit([buffer[:4]], [buffer[8:12]]).result(5.0) == 4


def test_a_queue_that_is_on_before_it_was_set_up() -> None:
    class Forgetful(Shaped):
        def bar_read(self, bar: int, offset: int, width: int) -> int:
            return 1 if (bar, offset) == (BAR, 0x1C) else super().bar_read(bar, offset, width)

    with (
        VirtioDevice.open(open_model(Forgetful(usual()))) as device,
        pytest.raises(ProtocolError, match="on before it was set up"),
    ):
        device.start({0: None})


# --- shared memory ------------------------------------------------------------------------------


def test_of_two_regions_with_one_id_the_first_counts() -> None:
    regions = [shared(1, 0x1000, 0x1000), shared(1, 0x8000, 0x100)]
    with opened([*usual(config=None), *regions]) as device:
        transport = PciTransport(device)
        assert [(one.id, one.size) for one in transport.shared_memory()] == [(1, 0x1000)]
        assert transport.open_shared_memory(1).size == 0x1000
        with pytest.raises(DeviceNotFound, match="no shared-memory region 0"):
            transport.open_shared_memory(0)


@pytest.mark.parametrize(
    ("offset", "size", "bar"),
    [
        (0x8000, 0x8001, 2),
        (1 << 32, 0x1000, 2),
        (0x1000, 1 << 32, 2),
        ((1 << 64) - 0x1000, 0x1000, 2),
        ((1 << 64) - 1, (1 << 64) - 1, 2),
        (0, 0, 2),
        (0, 0x1000, 3),
    ],
)
def test_a_region_outside_its_bar(offset: int, size: int, bar: int) -> None:
    with opened([*usual(), shared(7, offset, size, bar)]) as device:
        transport = PciTransport(device)
        with pytest.raises(PymmioError) as caught:
            transport.open_shared_memory(7)
        assert isinstance(caught.value, ProtocolError)


# --- devices that leave -------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 2, 4])
def test_all_ones_are_a_value_of_a_device_that_is_there_and_of_no_other(width: int) -> None:
    model = Shaped(usual())
    model.config[:4] = b"\xff" * 4
    with open_model(model) as device:
        transport = PciTransport(device)
        assert transport.read_config(0, width) == (1 << 8 * width) - 1
        device.handle.slot.unplug()  # type: ignore[attr-defined]
        with pytest.raises(DeviceGone):
            transport.read_config(8, width)


def test_who_refuses_a_vector_because_it_left() -> None:
    model = Shaped(usual())
    with open_model(model) as device:
        transport = PciTransport(device)
        device.handle.slot.unplug()  # type: ignore[attr-defined]
        with pytest.raises(DeviceGone):
            transport._set_vector(transport._common.config_msix_vector, 0, "configuration")
        with pytest.raises(DeviceGone):
            transport.enable_queue(0, 4, QueueAddresses(Iova(0), Iova(0), Iova(0)))
