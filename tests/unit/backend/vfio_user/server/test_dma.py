"""The client's memory: by descriptor, by message, and what was not lent."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
from pathlib import Path

import pytest

from pymmio.backend.vfio_user.messages import (
    Command,
    DmaData,
    DmaRequest,
    RegionData,
    RegionRequest,
)
from pymmio.backend.vfio_user.server import serve
from pymmio.errors import IommuFault
from tests.unit.backend.vfio_user.server.raw import (
    MEMORY,
    RawClient,
    Refused,
    Rig,
    memory,
    served,
)

PAGE = 4096
READ, WRITE = 1, 2


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_memory_of_a_descriptor_is_reached_at_its_offset(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _), memory(4 * PAGE) as fd:
        client.map(0x10000, 2 * PAGE, fd, offset=PAGE)
        os.pwrite(fd, b"0123456789", 2 * PAGE - 5)
        with server.lock:
            assert model.host.dma_read(0x10000 + PAGE - 5, 10) == b"0123456789"
            for offset, data in ((3, b"odd number"), (8, bytes(range(64))), (PAGE - 2, b"edge")):
                model.host.dma_write(0x10000 + offset, data)
                assert os.pread(fd, len(data), PAGE + offset) == data
                assert model.host.dma_read(0x10000 + offset, len(data)) == data


def test_what_was_not_lent_cannot_be_reached(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _), memory(2 * PAGE) as fd:
        client.map(0x10000, 2 * PAGE, fd)
        os.pwrite(fd, b"keep", 2 * PAGE - 4)
        with server.lock:
            for start, size in ((0xFFFF, 2), (0x11FFF, 2), (0x12000, 1), (0, 8), (1 << 63, 1)):
                with pytest.raises(IommuFault):
                    model.host.dma_read(start, size)
            with pytest.raises(IommuFault):
                model.host.dma_write(0x12000 - 4, b"12345678")
        assert os.pread(fd, 4, 2 * PAGE - 4) == b"keep"


def test_nothing_is_reached_while_bus_mastering_is_off(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _), memory(PAGE) as fd:
        client.map(0, PAGE, fd)
        client.switch_on(MEMORY)
        with server.lock, pytest.raises(IommuFault, match="bus mastering is off"):
            model.host.dma_read(0, 4)


def test_memory_is_used_only_as_it_was_lent(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _), memory(PAGE) as fd:
        client.map(0, PAGE, fd, flags=READ)
        client.map(PAGE, PAGE, fd, flags=WRITE)
        with server.lock:
            model.host.dma_write(PAGE + 8, b"abcd")
            assert model.host.dma_read(8, 4) == b"abcd"
            with pytest.raises(IommuFault):
                model.host.dma_write(0, b"x")
            with pytest.raises(IommuFault):
                model.host.dma_read(PAGE, 1)


def test_accesses_span_maps_of_different_kinds(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _), memory(2 * PAGE) as fd:
        client.map(0, PAGE, fd, offset=PAGE)
        client.map(PAGE, PAGE)
        client.map(2 * PAGE, PAGE, fd)
        model.on_write = lambda offset, value: model.host.dma_write(8, bytes(range(256)) * 40)
        client.write(0, 0, b"\x01")
        asked = client.receive()
        data = DmaData.parse(asked.payload)
        assert (asked.header.command, data.address, len(data.data)) == (
            Command.DMA_WRITE,
            PAGE,
            PAGE,
        )
        client.answer(asked, DmaRequest(PAGE, PAGE).pack())
        client.read(7, 0, 4)
        whole = os.pread(fd, PAGE, PAGE)[8:] + data.data + os.pread(fd, PAGE, 0)
        assert whole[: 256 * 40] == bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("address", "size", "number"),
    [
        (0x1000, PAGE, errno.EEXIST),
        (0x0, 2 * PAGE, errno.EEXIST),
        (0x2000, PAGE, errno.EEXIST),
        (0x0, 1 << 63, errno.EEXIST),
        (0x10, PAGE, errno.EINVAL),
        (0x8000, 100, errno.EINVAL),
        (0x8000, 0, errno.EINVAL),
        ((1 << 64) - PAGE, 2 * PAGE, errno.EINVAL),
    ],
)
def test_maps_that_cannot_be_are_refused(
    tmp_path: Path, address: int, size: int, number: int
) -> None:
    with served(tmp_path) as (_, client, _, _):
        client.map(0x1000, 2 * PAGE)
        with pytest.raises(Refused) as caught:
            client.map(address, size)
        assert caught.value.number == number
        client.map(0x3000, PAGE)
        client.map((1 << 64) - PAGE, PAGE)


def test_whole_maps_are_taken_back_one_several_all_or_none(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _), memory(4 * PAGE) as fd:
        for page in range(4):
            client.map(page * PAGE, PAGE, fd, offset=page * PAGE)
        client.unmap(PAGE, PAGE)
        with server.lock, pytest.raises(IommuFault):
            model.host.dma_read(PAGE, 1)
        client.unmap(PAGE, 2 * PAGE)
        client.unmap(0x100000, 1 << 40)
        with server.lock:
            model.host.dma_read(0, 1)
            model.host.dma_read(3 * PAGE, 1)
            with pytest.raises(IommuFault):
                model.host.dma_read(2 * PAGE, 1)
        client.unmap(0, 0, flags=2)
        with server.lock, pytest.raises(IommuFault):
            model.host.dma_read(0, 1)
        client.map(0, 4 * PAGE, fd)
        client.unmap(0, 1 << 63)
        client.map(0, PAGE, fd)


@pytest.mark.parametrize(
    ("address", "size", "flags"),
    [
        (PAGE, PAGE, 0),
        (0, 2 * PAGE, 0),
        (2 * PAGE, 4 * PAGE, 0),
        (0x1800, 0x1000, 0),
        (PAGE, 2 * PAGE, 1),
        (PAGE, 2 * PAGE, 2),
        (PAGE, 2 * PAGE, 4),
        ((1 << 64) - PAGE, 2 * PAGE, 0),
    ],
)
def test_no_part_of_a_map_is_taken_back_and_nothing_with_other_flags(
    tmp_path: Path, address: int, size: int, flags: int
) -> None:
    with served(tmp_path) as (model, client, server, _), memory(3 * PAGE) as fd:
        client.map(PAGE, 2 * PAGE, fd)
        with pytest.raises(Refused) as caught:
            client.unmap(address, size, flags)
        assert caught.value.number == errno.EINVAL
        with server.lock:
            model.host.dma_read(PAGE, 2 * PAGE)


def test_thousands_of_maps_of_a_file_take_one_mapping_and_no_descriptor(tmp_path: Path) -> None:
    count = 3000
    with served(tmp_path) as (model, client, server, _), memory(count * PAGE) as fd:
        before = open_fds()
        for page in range(count):
            client.map(page * 2 * PAGE, PAGE, fd, offset=page * PAGE)
        assert open_fds() <= before
        mapped = [
            line
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "memfd:test" in line
        ]
        assert len(mapped) == 1
        with server.lock:
            model.host.dma_write(2999 * 2 * PAGE, b"last")
        assert os.pread(fd, 4, 2999 * PAGE) == b"last"
        client.unmap(0, 0, flags=2)
        assert "memfd:test" not in Path("/proc/self/maps").read_text()


def test_a_file_that_grows_is_reached_as_far_as_it_is_lent(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _), memory(PAGE) as fd:
        client.map(0, PAGE, fd)
        os.ftruncate(fd, 3 * PAGE)
        client.map(PAGE, PAGE, fd, offset=2 * PAGE)
        with server.lock:
            model.host.dma_write(PAGE - 2, b"abcd")
        assert os.pread(fd, 2, PAGE - 2) == b"ab"
        assert os.pread(fd, 2, 2 * PAGE) == b"cd"


def test_memory_that_its_owner_cuts_off_is_a_fault_and_not_the_end(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _), memory(2 * PAGE) as fd:
        client.map(0, 2 * PAGE, fd)
        os.ftruncate(fd, PAGE)
        with server.lock:
            with pytest.raises(IommuFault, match="cut off"):
                model.host.dma_read(PAGE, 64)
            with pytest.raises(IommuFault, match="cut off"):
                model.host.dma_write(PAGE - 8, bytes(64))
            model.host.dma_write(0, b"ok")
        assert client.read(7, 0, 2) == b"\xf4\x1a"


def test_descriptors_that_are_no_file_or_too_short_are_refused(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    one, other = socket.socketpair()
    event = os.eventfd(0)
    directory = os.open(tmp_path, os.O_RDONLY)
    with served(tmp_path) as (_, client, _, _), memory(PAGE) as fd:
        before = open_fds()
        for wrong in (reading, writing, one.fileno(), event, directory):
            with pytest.raises(Refused) as caught:
                client.map(0, PAGE, wrong)
            assert caught.value.number == errno.EINVAL
        for offset in (1, PAGE, 1 << 62):
            with pytest.raises(Refused):
                client.map(0, PAGE, fd, offset=offset)
        assert open_fds() == before
    for left in (reading, writing, event, directory):
        os.close(left)
    one.close()
    other.close()


def test_files_that_are_no_memory_are_reached_by_message(tmp_path: Path) -> None:
    path = Path.cwd() / "pyproject.toml" if _has_no_seals(Path.cwd() / "pyproject.toml") else None
    if path is None:
        pytest.skip("the sources lie in a tmpfs")
    descriptor = os.open(path, os.O_RDONLY)
    with served(tmp_path) as (model, client, _, _):
        client.map(0, PAGE, descriptor, flags=READ)
        model.on_write = lambda offset, value: model.host.dma_read(0, 4)
        client.write(0, 0, b"\x01")
        asked = client.receive()
        assert asked.header.command == Command.DMA_READ
        client.answer(asked, DmaData(0, b"abcd").pack())
        client.read(7, 0, 4)
    os.close(descriptor)


def _has_no_seals(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.fcntl(file, 1034)
        except OSError:
            return True
    return False


def test_a_file_that_must_not_be_written_is_not_written(tmp_path: Path) -> None:
    """A descriptor that is for reading only is no way to write: asked for, message by message."""
    with served(tmp_path) as (model, client, server, _), memory(PAGE) as fd:
        reading = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
        client.map(0, PAGE, reading, flags=READ)
        with server.lock:
            assert model.host.dma_read(0, 4) == bytes(4)
            with pytest.raises(IommuFault):
                model.host.dma_write(0, b"abcd")
        os.close(reading)


# --- by message ------------------------------------------------------------------------------


def test_a_write_is_answered_before_the_client_is_asked_for_memory(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        client.map(0, PAGE)
        found: list[bytes] = []
        model.on_write = lambda offset, value: found.append(model.host.dma_read(0x10, 8))
        number = client.post(Command.REGION_WRITE, RegionData(0, 0, b"\x01").pack())
        reply = client.receive()
        assert (reply.header.is_reply, reply.header.message_id) == (True, number)
        asked = client.receive()
        assert asked.header.command == Command.DMA_READ
        assert DmaRequest.parse(asked.payload) == DmaRequest(0x10, 8)
        client.answer(asked, DmaData(0x10, b"12345678").pack())
        client.read(7, 0, 4)
        assert found == [b"12345678"]


def test_commands_that_come_before_the_answer_are_served_after_it(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, _, _):
        client.map(0, PAGE)
        model.on_write = lambda offset, value: model.host.dma_write(0, b"abcd")
        client.write(0, 0, b"\x01")
        asked = client.receive()
        numbers = [
            client.post(Command.REGION_READ, RegionRequest(7, 0, 4).pack()) for _ in range(5)
        ]
        client.answer(asked, DmaRequest(0, 4).pack())
        assert [client.receive().header.message_id for _ in numbers] == numbers


def test_a_write_that_crosses_the_question_for_memory_is_answered_before_memory_is_waited_for(
    tmp_path: Path,
) -> None:
    """Its sender may serve nothing until it has the answer."""
    with served(tmp_path) as (model, client, _, _):
        client.map(0, PAGE)
        found: list[bytes] = []

        def ask(offset: int, value: int) -> None:
            if value == 1:
                found.append(model.host.dma_read(0, 4))

        model.on_write = ask
        client.write(0, 0, b"\x01")
        number = client.post(Command.REGION_WRITE, RegionData(0, 8, b"\x02").pack())
        refused = client.post(Command.REGION_WRITE, RegionData(0, 0x4000, b"\x02").pack())
        asked = client.receive()
        assert asked.header.command == Command.DMA_READ
        reply = client.receive()
        assert (reply.header.message_id, reply.header.is_error) == (number, False)
        client.answer(asked, DmaData(0, b"abcd").pack())
        late = client.receive()
        assert (late.header.message_id, late.header.error) == (refused, errno.EINVAL)
        client.read(7, 0, 4)
        assert found == [b"abcd"]
        assert [entry[4] for entry in model.accesses] == [1, 2]


def test_long_transfers_are_cut_as_the_client_wants(tmp_path: Path) -> None:
    model = Rig()
    with serve(model, tmp_path / "s") as server:
        client = RawClient(server.path)
        client.agree(max_data_xfer_size=1000)
        client.switch_on()
        client.map(0, PAGE)
        found: list[bytes] = []
        model.on_write = lambda offset, value: found.append(model.host.dma_read(0, 2500))
        client.write(0, 0, b"\x01")
        for address, count in ((0, 1000), (1000, 1000), (2000, 500)):
            asked = client.receive()
            assert DmaRequest.parse(asked.payload) == DmaRequest(address, count)
            client.answer(asked, DmaData(address, bytes([count % 251]) * count).pack())
        client.read(7, 0, 4)
        assert len(found[0]) == 2500
        client.close()


@pytest.mark.parametrize(
    ("payload", "error"),
    [(b"", errno.EFAULT), (DmaData(0, b"123").pack(), 0), (b"nonsense", 0), (b"", 0)],
)
def test_an_answer_that_is_no_memory_is_a_fault_of_the_device(
    tmp_path: Path, payload: bytes, error: int
) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.map(0, PAGE)
        faults: list[IommuFault] = []

        def read(offset: int, value: int) -> None:
            try:
                model.host.dma_read(0, 4)
            except IommuFault as fault:
                faults.append(fault)

        model.on_write = read
        client.write(0, 0, b"\x01")
        client.answer(client.receive(), payload, error)
        if error:
            client.read(7, 0, 4)
        else:
            with pytest.raises(Exception, match="connection"):
                client.read(7, 0, 4)
        with server.lock:
            assert len(faults) == 1


def test_a_client_that_never_answers_is_a_fault_and_its_late_answer_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymmio.backend.vfio_user.server.messenger.DMA_BUDGET_S", 0.05)
    with served(tmp_path) as (model, client, _, _):
        client.map(0, PAGE)
        faults: list[IommuFault] = []

        def read(offset: int) -> int:
            try:
                model.host.dma_read(0, 4)
            except IommuFault as fault:
                faults.append(fault)
            return 0x22

        model.on_read = read
        number = client.post(Command.REGION_READ, RegionRequest(0, 0, 1).pack())
        asked = client.receive()
        assert asked.header.command == Command.DMA_READ
        reply = client.receive()
        assert (reply.header.message_id, reply.payload[16:]) == (number, b"\x22")
        client.answer(asked, DmaData(0, b"late").pack())
        assert client.read(7, 0, 2) == b"\xf4\x1a"
        assert "did not answer in time" in str(faults[0])


def test_another_thread_may_use_the_model_while_it_holds_the_lock(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _):
        client.map(0, PAGE)
        found: list[bytes] = []

        def work() -> None:
            with server.lock:
                found.append(model.host.dma_read(0, 4))

        thread = threading.Thread(target=work)
        thread.start()
        asked = client.receive()
        client.answer(asked, DmaData(0, b"abcd").pack())
        thread.join(10)
        assert found == [b"abcd"]
        assert client.read(7, 0, 2) == b"\xf4\x1a"


def test_everything_is_released_when_the_client_goes(tmp_path: Path) -> None:
    with served(tmp_path) as (model, client, server, _), memory(4 * PAGE) as fd:
        client.map(0, 4 * PAGE, fd)
        assert "memfd:test" in Path("/proc/self/maps").read_text()
        client.close()
        following = RawClient(server.path)
        following.agree()
        assert "memfd:test" not in Path("/proc/self/maps").read_text()
        following.switch_on()
        with server.lock, pytest.raises(IommuFault):
            model.host.dma_read(0, 4)
        following.close()
