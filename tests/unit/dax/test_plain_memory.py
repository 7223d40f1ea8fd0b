"""Plain memory: copies that end at bad pages, mappings that have users."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pymmio.dax import Durability, PlainMemory, open_path, plain_memory, write_back_name
from pymmio.errors import (
    BadArgument,
    BufferBusy,
    Closed,
    DeviceNotFound,
    ForkedObject,
    MediaError,
    OutOfBounds,
    Unsupported,
)
from tests.children import in_forked_child

PAGE = mmap.PAGESIZE


@pytest.fixture
def half() -> Iterator[PlainMemory]:
    """Two pages, of which the second is not there."""
    fd = os.memfd_create("half")
    os.ftruncate(fd, 2 * PAGE)
    with mmap.mmap(fd, 2 * PAGE) as memory:
        memory[:PAGE] = b"\x11" * PAGE
        plain = PlainMemory(memory, name="half")
        os.ftruncate(fd, PAGE)
        yield plain
        plain.close()
    os.close(fd)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 63, 64, 65, 4096, 70000, 1 << 20])
@pytest.mark.parametrize("offset", [0, 1, 8, 63, 4095])
@pytest.mark.parametrize("nocache", [False, True])
def test_what_is_written_is_read(offset: int, size: int, nocache: bool) -> None:
    backing = bytearray(b"\xaa" * ((1 << 20) + 8192))
    memory = PlainMemory(backing, name="m")
    data = os.urandom(size)
    assert memory.write_from(offset, data, nocache=nocache) == size
    target = bytearray(size)
    assert memory.read_into(offset, target) == size
    assert target == data
    assert backing[:offset] == b"\xaa" * offset
    assert backing[offset + size : offset + size + 100] == b"\xaa" * 100
    memory.zero(offset, size)
    assert backing[offset : offset + size] == bytes(size)
    assert backing[offset + size : offset + size + 100] == b"\xaa" * 100
    memory.close()


@pytest.mark.parametrize("offset", [0, 1, 8, PAGE - 64, PAGE - 1, PAGE, PAGE + 5])
@pytest.mark.parametrize("what", ["read", "write", "write nocache", "zero"])
def test_a_bad_page_is_an_error_with_the_range(half: PlainMemory, offset: int, what: str) -> None:
    size = 2 * PAGE - offset
    moved = max(0, PAGE - offset)
    target = bytearray(size)
    with pytest.raises(MediaError) as caught:
        if what == "read":
            half.read_into(offset, target)
        elif what == "zero":
            half.zero(offset, size)
        else:
            half.write_from(offset, b"\x22" * size, nocache="nocache" in what)
    error = caught.value
    assert (error.offset, error.size, error.moved) == (offset + moved, size - moved, moved)
    assert error.errno == 5
    seen = bytearray(PAGE)
    half.read_into(0, seen)
    expected = {"read": 0x11, "zero": 0}.get(what, 0x22)
    assert seen[:offset] == b"\x11" * min(offset, PAGE)
    assert seen[offset:] == bytes([expected]) * moved
    if what == "read":
        assert target[:moved] == b"\x11" * moved


def test_threads_meet_their_own_errors(half: PlainMemory) -> None:
    wrong: list[str] = []

    def work(offset: int) -> None:
        for _ in range(200):
            try:
                half.write_from(offset, b"x" * 64)
                if offset >= PAGE:
                    wrong.append("no error")
            except MediaError as error:
                if error.offset != offset:
                    wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(at,)) for at in (0, 128, PAGE, PAGE + 192)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert wrong == []


def test_outside_is_refused() -> None:
    memory = PlainMemory(bytearray(100), name="m")
    for call in (
        lambda: memory.read_into(99, bytearray(2)),
        lambda: memory.write_from(-1, b"x"),
        lambda: memory.zero(0, 101),
        lambda: memory.view(50, 51),
        lambda: memory.persist(1, 100),
    ):
        with pytest.raises(OutOfBounds):
            call()


def test_a_view_keeps_it_open() -> None:
    backing = mmap.mmap(-1, 100)
    memory = PlainMemory(backing, name="m", release=backing.close)
    view = memory.view(10, 5)
    view[:] = b"12345"
    with pytest.raises(BufferBusy, match="memoryviews of it exist"):
        memory.close()
    assert bytes(view) == b"12345"
    memory.write_from(0, b"still open")
    view.release()
    memory.close()
    memory.close()
    with pytest.raises(Closed):
        memory.write_from(0, b"x")


def test_a_file_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    before = len(os.listdir("/proc/self/fd"))
    memory = open_path(path, size=8192)
    assert memory.size == 8192
    assert memory.durability is Durability.SYNC
    memory.write_from(5000, b"here")
    memory.persist(5000, 4)
    assert path.read_bytes()[5000:5004] == b"here"
    memory.close()
    assert len(os.listdir("/proc/self/fd")) == before
    again = open_path(path)
    assert bytes(again.view(5000, 4)) == b"here"


def test_files_that_cannot_be_mapped(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    (tmp_path / "empty").touch()
    with pytest.raises(BadArgument, match="empty"):
        open_path(tmp_path / "empty")
    with pytest.raises(DeviceNotFound, match="size="):
        open_path(tmp_path / "none")
    with pytest.raises(Unsupported):
        open_path("/dev/null")
    with pytest.raises(Unsupported):
        open_path(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_processor_writes_caches_back() -> None:
    name = write_back_name()
    memory = PlainMemory(bytearray(10000), name="m", durability=Durability.WRITE_BACK)
    memory.write_from(1, b"x" * 5000)
    if name is None:
        with pytest.raises(Unsupported):
            memory.persist(1, 5000)
    else:
        memory.persist(1, 5000)
        memory.persist(0, 0)
    got = bytearray(5000)
    memory.read_into(1, got)
    assert got == b"x" * 5000


@pytest.fixture
def half_durable() -> Iterator[PlainMemory]:
    """Two pages that writing back makes durable, of which the second is not there."""
    fd = os.memfd_create("half")
    os.ftruncate(fd, 2 * PAGE)
    with mmap.mmap(fd, 2 * PAGE) as memory:
        plain = PlainMemory(memory, name="half", durability=Durability.WRITE_BACK)
        os.ftruncate(fd, PAGE)
        yield plain
        plain.close()
    os.close(fd)


WRITES_BACK = write_back_name() not in (None, "not needed")


@pytest.mark.parametrize("offset", [0, 1, PAGE - 1, PAGE, PAGE + 100])
def test_bad_memory_that_is_written_back_is_an_error_and_no_signal(
    half_durable: PlainMemory, offset: int
) -> None:
    if write_back_name() is None:
        with pytest.raises(Unsupported):
            half_durable.persist(0, PAGE)
    elif WRITES_BACK:
        half_durable.persist(0, PAGE)
        with pytest.raises(MediaError, match="write-back") as caught:
            half_durable.persist(offset, 2 * PAGE - offset)
        assert caught.value.offset == max(offset, PAGE)
        assert caught.value.moved == max(0, PAGE - offset)
    else:
        half_durable.persist(offset, 2 * PAGE - offset)


def test_past_the_caches_is_no_promise_where_nothing_writes_them_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plain_memory, "write_back_name", lambda: None)
    memory = PlainMemory(bytearray(PAGE), name="m", durability=Durability.WRITE_BACK)
    with pytest.raises(Unsupported, match="no instruction"):
        memory.write_from(0, b"x", nocache=True)
    assert bytes(memory.view(0, 1)) == b"\0"
    assert PlainMemory(bytearray(8), name="m").write_from(0, b"x", nocache=True) == 1


def test_a_forked_child_keeps_files_and_loses_memory_of_devices(tmp_path: Path) -> None:
    released: list[bool] = []
    device = PlainMemory(
        lambda: memoryview(bytearray(PAGE)), name="BAR", release=lambda: released.append(True)
    )
    file = open_path(tmp_path / "file", size=PAGE)

    def child() -> None:
        for use in (
            lambda: device.read_into(0, bytearray(1)),
            lambda: device.view(0, 1),
            lambda: device.persist(0, 1),
        ):
            with pytest.raises(ForkedObject):
                use()
        device.close()
        assert not released
        file.write_from(0, b"child")
        file.close()

    with device._left, file._left:  # other threads may be anywhere when the process forks
        in_forked_child(child)
    assert bytes(file.view(0, 5)) == b"child"
    file.close()
    device.close()
    assert released


def test_a_file_that_the_kernel_cannot_write_says_what_is_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with closing(open_path(tmp_path / "file", size=2 * PAGE)) as memory:
        monkeypatch.setattr(os, "fdatasync", fails)
        with pytest.raises(MediaError, match="write-back") as caught:
            memory.persist(PAGE, 100)
        assert (caught.value.offset, caught.value.size, caught.value.moved) == (PAGE, 100, 0)
        assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("nocache", [False, True])
def test_a_copy_that_is_not_machine_check_safe_is_a_plain_one(nocache: bool) -> None:
    code = f"""
import mmap, os
from pymmio.dax import DaxDevice, PAGE_SIZE, PlainMemory
fd = os.memfd_create("half")
os.ftruncate(fd, 2 * PAGE_SIZE)
memory = mmap.mmap(fd, 2 * PAGE_SIZE)
dax = DaxDevice(PlainMemory(memory, name="half"))
data = os.urandom(PAGE_SIZE)
assert dax.write_from(0, data, nocache={nocache}, machine_check_safe=False) == PAGE_SIZE
target = bytearray(PAGE_SIZE)
dax.read_into(0, target, machine_check_safe=False)
assert target == data
os.ftruncate(fd, PAGE_SIZE)
print("copied", flush=True)
dax.write_from(PAGE_SIZE - 8, bytes(16), nocache={nocache}, machine_check_safe=False)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "copied\n"
    assert done.returncode == -signal.SIGBUS
