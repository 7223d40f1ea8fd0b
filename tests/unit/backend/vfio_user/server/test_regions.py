"""Regions: what there is, and access to them by message."""

from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from pymmio.backend.model import BarSpec
from pymmio.backend.vfio_user.messages import (
    Command,
    DeviceFlags,
    DeviceInfo,
    Flags,
    IoFdsReply,
    IoFdsRequest,
    RegionData,
    RegionFlags,
    SparseArea,
    WriteMulti,
    WriteMultiReply,
)
from pymmio.backend.vfio_user.server import serve
from tests.unit.backend.vfio_user.server.raw import (
    COMMAND,
    MEMORY,
    RawClient,
    Refused,
    Rig,
    memory,
    served,
)


def test_a_pci_device_that_can_be_reset_has_nine_regions_and_five_kinds_of_interrupts(
    tmp_path: Path,
) -> None:
    with served(tmp_path) as (_, client, _, _):
        info = DeviceInfo.parse(client.ask(Command.DEVICE_GET_INFO, DeviceInfo().pack()).payload)
        assert info.flags == DeviceFlags.RESET | DeviceFlags.PCI
        assert (info.num_regions, info.num_irqs) == (9, 5)


def test_regions_have_their_sizes_and_those_that_are_not_there_none(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, _, _):
        sizes = {}
        for index in range(9):
            info, fds = client.region(index)
            sizes[index] = info.size
            for fd in fds:
                os.close(fd)
            assert bool(info.flags & RegionFlags.READ) == bool(info.size)
        assert sizes == {0: 0x4000, 1: 0, 2: 0x2000, 3: 0, 4: 0, 5: 0, 6: 0, 7: 4096, 8: 0}
        with pytest.raises(Refused) as caught:
            client.region(9)
        assert caught.value.number == errno.EINVAL


def test_memory_can_be_mapped_whole_and_is_what_messages_reach(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        info, (fd,) = client.region(2)
        assert info.flags == RegionFlags.READ | RegionFlags.WRITE | RegionFlags.MMAP
        assert info.areas is None
        with mmap.mmap(fd, info.size, offset=info.offset) as mapped:
            mapped[0x1234:0x1238] = b"here"
            assert client.read(2, 0x1234, 4) == b"here"
            client.write(2, 0x1FFD, b"end")
            assert mapped[0x1FFD:] == b"end"
            assert bytes(model.host.bar_memory(2)[0x1FFD:]) == b"end"
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)  # it would be a SIGBUS over there
        os.close(fd)
        assert model.accesses == []


def test_only_pages_of_doorbells_can_be_mapped_not_those_of_the_msix_table(tmp_path: Path) -> None:
    if mmap.PAGESIZE > 4096:
        pytest.skip("the rig's page of doorbells has 4096 bytes")
    with served(tmp_path) as (_, client, _, _):
        info, (fd,) = client.region(0)
        assert info.areas == (SparseArea(0x1000, 0x1000),)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        os.close(fd)


def test_the_descriptor_comes_with_the_answer_that_has_room_for_everything(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, _, _):
        info, fds = client.region(0, room=32)
        assert (info.areas, fds, info.needed) == (None, [], 64)
        info, (fd,) = client.region(0, room=info.needed)
        assert info.areas is not None
        os.close(fd)


def test_accesses_reach_the_model_as_they_are(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        assert client.read(0, 4, 2) == b"\x11\0"
        client.write(0, 8, (7).to_bytes(8, "little"))
        client.write(0, 0x11, b"\x05")
        assert model.accesses == [
            ("read", 0, 4, 2),
            ("write", 0, 8, 8, 7),
            ("write", 0, 0x11, 1, 5),
        ]


def test_longer_data_become_aligned_accesses_in_order(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        client.write(0, 2, bytes(range(14)))
        assert [entry[2:4] for entry in model.accesses] == [(2, 2), (4, 4), (8, 8)]
        assert model.accesses[1][4] == 0x05040302


@pytest.mark.parametrize(
    ("region", "offset", "count"),
    [(0, 0x4000, 1), (0, 0x3FFF, 2), (7, 4096, 1), (1, 0, 1), (6, 0, 4), (9, 0, 4), (2, 0x2000, 1)],
)
def test_accesses_outside_are_refused_and_not_made(
    tmp_path: Path, region: int, offset: int, count: int
) -> None:
    with served(tmp_path) as (model, client, _, _):
        for attempt in (
            lambda: client.read(region, offset, count),
            lambda: client.write(region, offset, bytes(count)),
        ):
            with pytest.raises(Refused) as caught:
                attempt()
            assert caught.value.number == errno.EINVAL
        assert model.accesses == []


def test_a_count_beyond_what_was_agreed_is_refused(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, _, _), pytest.raises(Refused):
        client.read(0, 0, (1 << 20) + 1)


def test_bars_answer_only_while_memory_decoding_is_on(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        client.switch_on(0)
        for region in (0, 2):
            with pytest.raises(Refused) as caught:
                client.read(region, 0, 4)
            assert caught.value.number == errno.EIO
            with pytest.raises(Refused):
                client.write(region, 0, bytes(4))
        assert model.accesses == []
        assert client.read(7, COMMAND, 2) == b"\0\0"


def test_bars_answer_the_sizing_protocol_and_the_rom_does_not(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, _, _):
        for offset in (0x10, 0x14, 0x18, 0x30):
            client.write(7, offset, b"\xff\xff\xff\xff")
        assert client.read(7, 0x10, 8) == (0xFFFF_FFFF_FFFF_C004).to_bytes(8, "little")
        assert client.read(7, 0x30, 4) == bytes(4)


def test_several_writes_in_a_message_are_made_in_order(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        writes = WriteMulti(
            (RegionData(0, 8, b"\x01\0\0\0"), RegionData(2, 0, b"ab"), RegionData(0, 4, b"\x02"))
        )
        reply = client.ask(Command.REGION_WRITE_MULTI, writes.pack())
        assert WriteMultiReply.parse(reply.payload).count == 3
        client.post(Command.REGION_WRITE_MULTI, writes.pack(), flags=Flags.NO_REPLY)
        assert client.read(2, 0, 2) == b"ab"
        assert model.accesses == [("write", 0, 8, 4, 1), ("write", 0, 4, 1, 2)] * 2


def test_one_write_outside_refuses_all_of_the_message(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        writes = WriteMulti((RegionData(0, 8, b"\x01"), RegionData(0, 0x4000, b"\x02")))
        with pytest.raises(Refused):
            client.ask(Command.REGION_WRITE_MULTI, writes.pack())
        assert model.accesses == []


def test_no_descriptors_stand_for_accesses(tmp_path: Path) -> None:
    with served(tmp_path) as (_, client, _, _):
        reply = client.ask(Command.DEVICE_GET_REGION_IO_FDS, IoFdsRequest(0, 4096).pack())
        assert IoFdsReply.parse(reply.payload, len(reply.fds), 0x4000).entries == ()
        with pytest.raises(Refused):
            client.ask(Command.DEVICE_GET_REGION_IO_FDS, IoFdsRequest(9, 4096).pack())


def test_a_reset_makes_everything_as_after_power_on(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        client.write(7, 0x10, b"\0\0\0\xe0")
        before = model.resets
        client.ask(Command.DEVICE_RESET)
        assert model.resets == before + 1
        assert client.read(7, 0x10, 4) == b"\x04\0\0\0"
        assert client.read(7, COMMAND, 2) == b"\0\0"


def test_a_function_level_reset_by_configuration_space_is_one(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _):
        express = server._device.config.express_offset
        assert express is not None
        before = model.resets
        client.write(7, express + 8, b"\x00\x80")
        assert model.resets == before + 1
        client.switch_on(MEMORY)
        client.write(7, express + 9, b"\x80")
        assert model.resets == before + 2
        client.write(7, express + 9, b"\x7f")
        client.write(7, express + 8, b"\xff\x7f\xff\xff")
        assert model.resets == before + 2


def test_a_model_that_raises_is_an_error_for_the_client_and_a_report(tmp_path: Path) -> None:
    def fail(*of: int) -> int:
        raise KeyError("a bug of the model")

    with served(tmp_path) as (model, client, _, problems):
        model.on_read = model.on_write = fail
        with pytest.raises(Refused) as caught:
            client.read(0, 0, 4)
        assert caught.value.number == errno.EIO
        with pytest.raises(Refused):
            client.write(0, 0, bytes(4))
        model.on_read = lambda offset: 3
        assert client.read(0, 0, 1) == b"\x03"
        assert len(problems) == 2
        assert "a bug of the model" in problems[0]


def test_memory_of_the_models_own_that_is_cut_off_is_an_error_and_not_the_end(
    tmp_path: Path,
) -> None:
    with memory(0x2000) as shared:
        model = Rig()
        model.bars = (BarSpec(2, 0x2000, ram=True, memory_fd=shared),)
        model.msix_vectors = 0
        with serve(model, tmp_path / "s") as server:
            client = RawClient(server.path)
            client.agree()
            client.switch_on()
            client.write(2, 0x1004, b"odd")
            assert os.pread(shared, 3, 0x1004) == b"odd"
            _, (fd,) = client.region(2)
            os.ftruncate(fd, 0x1000)
            os.close(fd)
            for attempt in (
                lambda: client.read(2, 0x1000, 8),
                lambda: client.write(2, 0xFFC, bytes(8)),
            ):
                with pytest.raises(Refused) as caught:
                    attempt()
                assert caught.value.number == errno.EIO
            assert client.read(2, 0, 1) == b"\0"
            client.close()
