"""The device of a server: regions, mappings, blocks, resets, what it refuses."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

import pytest

import pymmio
from pymmio.backend.vfio_user.device import VfioUserDevice
from pymmio.errors import (
    AccessFault,
    DeviceGone,
    DeviceNotFound,
    ProtocolError,
    PymmioError,
    ReadOnly,
    Unsupported,
    UriError,
)
from pymmio.handle import Access, MappedArea
from pymmio.pci.resets import ResetKind
from tests.unit.backend.vfio_user.fake_server import (
    BAR0_SIZE,
    BAR2_AREA,
    BAR2_FILE_OFFSET,
    BAR2_SIZE,
    CONFIG_SIZE,
    GET_INFO,
    IRQ_INFO,
    MSIX_CONTROL,
    PAGE,
    REGION_INFO,
    REGION_READ,
    REGION_WRITE,
    RESET,
    SET_IRQS,
    WRITE_MULTI,
    Answer,
    Reply,
    Request,
    fake_server,
    region_info,
)

AREA, AREA_SIZE = BAR2_AREA


def test_regions_are_what_the_server_says() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        infos = device.regions
        assert {i: (r.name, r.size) for i, r in infos.items()} == {
            0: ("BAR0", BAR0_SIZE),
            2: ("BAR2", BAR2_SIZE),
            7: ("config", CONFIG_SIZE),
        }
        assert infos[2].mappable == (MappedArea(AREA, AREA_SIZE),)
        assert not infos[2].is_pci  # no instruction for PCI memory may meet plain memory
        assert device.config.vendor_id == 0x1234
        asked = [r for r in server.requests if r.command == REGION_INFO]
        assert len(asked) == 8  # each region once; none about VGA


def test_a_part_that_can_be_mapped_needs_no_message() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(2)
        assert bar.access is Access.MAPPED
        before = len(server.requests)
        bar.write32(AREA + 8, 0xCAFE)
        assert os.pread(server.memory, 2, BAR2_FILE_OFFSET + AREA + 8) == b"\xfe\xca"
        assert bar.read32(AREA + 8) == 0xCAFE
        assert len(server.requests) == before
        bar.write32(AREA - 4, 0xBEEF)
        assert bar.read32(AREA - 4) == 0xBEEF
        assert server.commands()[before:] == [REGION_WRITE, REGION_READ]


def test_a_reply_that_needs_more_room_is_asked_for_again() -> None:
    areas = [(PAGE * 2 * n, PAGE) for n in range(300)]
    payload = region_info(2, PAGE * 600, 7, 0, areas)

    def answer(request: Request) -> Reply:
        room, _, index = struct.unpack_from("=III", request.payload)
        if index != 2:
            return Reply(region_info(index, CONFIG_SIZE if index == 7 else 0, 3))
        return Reply(payload if len(payload) <= room else payload[:32], [0])

    with fake_server({REGION_INFO: answer}) as (_, uri), pymmio.open_device(uri) as device:
        assert len(device.regions[2].mappable) == 300


@pytest.mark.parametrize(
    ("reply", "mappable"),
    [
        (lambda: Reply(region_info(0, PAGE, 7), [0]), (MappedArea(0, PAGE),)),
        (lambda: Reply(region_info(0, PAGE, 7)), ()),
        (lambda: Reply(region_info(0, PAGE, 3), [0]), ()),
        (lambda: Reply(region_info(0, PAGE, 7, 0, [(0, 0)]), [0]), ()),
        (lambda: Reply(region_info(0, PAGE, 7, 0, [(0x10, 0x20)]), [0]), ()),
    ],
    ids=["whole", "no descriptor", "no flag", "empty area", "no whole page"],
)
def test_what_can_be_mapped(reply: Callable[[], Reply], mappable: tuple[MappedArea, ...]) -> None:
    def answer(request: Request) -> Reply:
        (index,) = struct.unpack_from("=I", request.payload, 8)
        return (
            reply()
            if index == 0
            else Reply(region_info(index, CONFIG_SIZE if index == 7 else 0, 3))
        )

    before = len(os.listdir("/proc/self/fd"))
    with fake_server({REGION_INFO: answer}) as (_, uri):
        with pymmio.open_device(uri) as device:
            assert device.regions[0].mappable == mappable
    assert len(os.listdir("/proc/self/fd")) == before


def test_regions_for_reading_only() -> None:
    def answer(request: Request) -> Reply:
        (index,) = struct.unpack_from("=I", request.payload, 8)
        return Reply(region_info(index, CONFIG_SIZE, 3 if index == 7 else 1))

    with fake_server({REGION_INFO: answer}) as (_, uri), pymmio.open_device(uri) as device:
        with pytest.raises(ReadOnly):
            device.region(0).write8(0, 1)
        with pytest.raises(ReadOnly):
            device.region(0).write_block(0, b"a", width=1)


@pytest.mark.parametrize(("width", "is_write"), [(4, False), (2, True)])
def test_an_error_of_an_access_says_which(width: int, is_write: bool) -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        server.answers[REGION_READ] = server.answers[REGION_WRITE] = lambda r: Reply(error=22)
        with pytest.raises(AccessFault, match="the server refuses: Invalid argument") as caught:
            bar.write(0x40, width, 0x77) if is_write else bar.read(0x40, width)
        error = caught.value
        assert (error.offset, error.width, error.is_write) == (0x40, width, is_write)
        assert (error.value, error.cause_code) == (0x77 if is_write else None, 22)


def test_a_device_that_left_its_server_is_gone() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        server.answers[REGION_READ] = lambda request: Reply(error=19)
        with pytest.raises(DeviceGone):
            device.region(0).read32(0)


# --- blocks ----------------------------------------------------------------------------------


def test_a_block_is_read_by_accesses_of_its_width_without_waiting_for_each() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        server.bar0[:] = bytes(range(256)) * (BAR0_SIZE // 256)
        bar = device.region(0)
        before = len(server.requests)
        assert bar.read_block(8, 800, width=8) == bytes(server.bar0[8:808])
        new = server.requests[before:]
        assert [struct.unpack("=QII", r.payload) for r in new] == [
            (8 + 8 * n, 0, 8) for n in range(100)
        ]


@pytest.mark.parametrize("multiple", [False, True])
def test_a_block_is_written_by_accesses_of_its_width(multiple: bool) -> None:
    said = {"max_msg_fds": 4, "write_multiple": multiple}
    with (
        fake_server(capabilities=said) as (server, uri),
        pymmio.open_device(uri) as device,
    ):
        bar = device.region(0)
        before = len(server.requests)
        data = bytes(range(200))
        bar.write_block(4, data, width=4)
        assert bytes(server.bar0[4:204]) == data
        commands = server.commands()[before:]
        assert commands == ([WRITE_MULTI] if multiple else [REGION_WRITE] * 50)


def test_many_writes_of_which_some_failed_name_the_first_of_them() -> None:
    said = {"write_multiple": True}
    answers: dict[int, Answer] = {WRITE_MULTI: lambda request: Reply(struct.pack("=Q", 3))}
    with (
        fake_server(answers, capabilities=said) as (_, uri),
        pymmio.open_device(uri) as device,
        pytest.raises(AccessFault, match="4 bytes at 0xc"),
    ):
        device.region(0).write_block(0, bytes(40), width=4)


def test_more_writes_than_were_asked_for_are_a_protocol_error() -> None:
    said = {"write_multiple": True}
    answers: dict[int, Answer] = {WRITE_MULTI: lambda request: Reply(struct.pack("=Q", 11))}
    with (
        fake_server(answers, capabilities=said) as (_, uri),
        pymmio.open_device(uri) as device,
        pytest.raises(ProtocolError),
    ):
        device.region(0).write_block(0, bytes(40), width=4)


# --- the device as a whole -------------------------------------------------------------------


def test_reset_keeps_interrupts_on() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        vector = device.irqs.msix[0]
        assert server.config[MSIX_CONTROL + 1] & 0x80
        device.reset()
        assert RESET in server.commands()
        assert server.config[MSIX_CONTROL + 1] & 0x80
        assert server.config[4] & 0x2  # memory decoding is on again
        server.trigger(2, 0)
        assert vector.wait(timeout_s=10) == 1


def test_a_server_that_does_not_reset_says_so() -> None:
    answers: dict[int, Answer] = {
        GET_INFO: lambda request: Reply(struct.pack("=IIII", 16, 2, 9, 5))
    }
    with fake_server(answers) as (server, uri), pymmio.open_device(uri) as device:
        assert ResetKind.MODEL not in device.reset_methods()
        with pytest.raises(Unsupported, match="does not reset"):
            device.reset()
        assert RESET not in server.commands()


@pytest.mark.parametrize(
    ("command", "reply", "kind"),
    [
        (GET_INFO, Reply(struct.pack("=IIII", 16, 1, 9, 5)), Unsupported),
        (GET_INFO, Reply(struct.pack("=IIII", 16, 3, 7, 5)), ProtocolError),
        (GET_INFO, Reply(struct.pack("=IIII", 16, 3, 2**31, 5)), ProtocolError),
        (GET_INFO, Reply(bytes(15)), ProtocolError),
        (GET_INFO, Reply(error=95), Unsupported),
        (REGION_INFO, Reply(bytes(31)), ProtocolError),
        (REGION_INFO, Reply(region_info(77, PAGE, 3)), ProtocolError),
        (REGION_INFO, Reply(error=22), ProtocolError),
        (REGION_INFO, Reply(error=5), Unsupported),
        (REGION_INFO, Reply(struct.pack("=IIIIQQ", 2**20, 0xF, 0, 0, 4096, 0)), ProtocolError),
    ],
)
def test_a_device_that_makes_no_sense(command: int, reply: Reply, kind: type[PymmioError]) -> None:
    with fake_server({command: lambda request: reply}) as (_, uri), pytest.raises(kind):
        pymmio.open_device(uri)


def test_areas_that_overlap_are_a_protocol_error() -> None:
    payload = region_info(0, 8 * PAGE, 7, 0, [(0, 2 * PAGE), (PAGE, PAGE)])
    with (
        fake_server({REGION_INFO: lambda request: Reply(payload, [0])}) as (_, uri),
        pytest.raises(ProtocolError, match="overlap"),
    ):
        pymmio.open_device(uri)


def test_a_descriptor_that_cannot_be_mapped_is_unsupported() -> None:
    reading, writing = os.pipe()

    def answer(request: Request) -> Reply:
        (index,) = struct.unpack_from("=I", request.payload, 8)
        return Reply(region_info(index, CONFIG_SIZE if index == 7 else PAGE, 7), [reading])

    with fake_server({REGION_INFO: answer}) as (_, uri), pymmio.open_device(uri) as device:
        with pytest.raises((Unsupported, pymmio.errors.PermissionRefused)):
            device.region(0)
        assert device.config.vendor_id == 0x1234
    os.close(reading)
    os.close(writing)


def test_memory_that_ends_early_is_a_fault_not_a_signal() -> None:
    def answer(request: Request) -> Reply:
        (index,) = struct.unpack_from("=I", request.payload, 8)
        size = CONFIG_SIZE if index == 7 else 4 * PAGE
        return Reply(region_info(index, size, 7, BAR2_FILE_OFFSET), [short])

    short = os.memfd_create("short")
    os.ftruncate(short, 2 * PAGE)
    with fake_server({REGION_INFO: answer}) as (_, uri), pymmio.open_device(uri) as device:
        bar = device.region(0)
        assert bar.read32(0) == 0
        with pytest.raises(AccessFault):
            bar.read32(2 * PAGE)
    os.close(short)


def test_few_messages_until_the_device_is_open() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        before_use = len(server.requests)
        assert before_use <= 24
        device.region(0).read32(0)
        assert len(server.requests) <= before_use + 2  # one asks for descriptors
        assert not {IRQ_INFO, SET_IRQS} & set(server.commands())


# --- opening -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "timeout=0", "timeout=-1", "timeout=nan", "timeout=inf", "timeout=x", "timeout=1e9",
        "twin=maybe", "dma_unit=3", "dma_unit=", "dma_unit=-4K", "ioeventfd=2", "speed=9",
    ],
)  # fmt: skip
def test_options_that_make_no_sense(options: str) -> None:
    with pytest.raises(UriError):
        pymmio.open_device(f"vfio-user:/nowhere?{options}")


def test_where_nobody_listens_the_hint_says_what_to_do(tmp_path: os.PathLike[str]) -> None:
    with pytest.raises(DeviceNotFound, match="Start the server"):
        pymmio.open_device(f"vfio-user:{os.fspath(tmp_path)}/none")
    with fake_server() as (_, uri):
        pass
    with pytest.raises(DeviceNotFound):
        pymmio.open_device(uri)


def test_a_file_is_no_server(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "file")
    with open(path, "w"):
        pass
    with pytest.raises(UriError, match="It is no socket"):
        pymmio.open_device(f"vfio-user:{path}")


def test_a_path_that_is_too_long_is_refused() -> None:
    with pytest.raises(UriError, match="107"):
        pymmio.open_device("vfio-user:/" + "x" * 200)


def test_dma_unit_and_quirk_of_a_known_server() -> None:
    with fake_server() as (_, uri), pymmio.open_device(uri + "?dma_unit=2M") as device:
        assert device.dma.page_size == 2 << 20
    with fake_server() as (server, uri):
        server.config[0:4] = bytes([0x58, 0x4E, 0x01, 0x00])
        with pymmio.open_device(uri) as device:
            assert device.dma.page_size == 2 << 20
            assert isinstance(device.handle, VfioUserDevice)
            assert device.handle.dma.max_mappings == 64
            server.trigger(2, 0)  # SPDK's controller fails where it cannot
            vector = device.irqs.msix[0]
            server.trigger(2, 0)
            assert vector.wait(timeout_s=10) == 1
            device.irqs.msix.disable()
            server.trigger(2, 0)
