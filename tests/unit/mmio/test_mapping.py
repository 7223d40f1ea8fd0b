"""Mapping: its life, plain views, fork."""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Iterator

import pytest

from pymmio.errors import (
    AccessFault,
    BufferBusy,
    Closed,
    DeviceGone,
    DeviceTimeout,
    ForkedObject,
    OutOfBounds,
    PermissionRefused,
    PymmioError,
    ReadOnly,
    Unsupported,
)
from pymmio.mmio import PCI, AccessRule, MappedRegion, Mapping
from tests.children import in_forked_child

SOON_S = 20


@pytest.fixture
def memory() -> Iterator[int]:
    fd = os.memfd_create("test")
    os.ftruncate(fd, 8192)
    yield fd
    os.close(fd)


def count_mappings() -> int:
    with open("/proc/self/maps", encoding="ascii") as maps:
        return sum("memfd:test" in line for line in maps)


def test_a_mapping_does_not_keep_a_descriptor(memory: int) -> None:
    before = set(os.listdir("/proc/self/fd"))
    mapping = Mapping.of_file(memory, 0, 8192, "BAR0", writable=True)
    assert set(os.listdir("/proc/self/fd")) == before
    assert count_mappings() == 1
    mapping.close()
    assert count_mappings() == 0


def test_a_mapping_starts_at_the_file_offset(memory: int) -> None:
    os.pwrite(memory, b"\x2a", 4096)
    mapping = Mapping.of_file(memory, 4096, 4096, "BAR0", writable=True)
    assert MappedRegion(mapping).read8(0) == 42
    mapping.close()


def test_a_mapping_may_start_inside_a_page_and_reaches_nothing_else_of_it(memory: int) -> None:
    os.pwrite(memory, b"\x2a\x2b", mmap.PAGESIZE - 32)
    mapping = Mapping.of_file(memory, mmap.PAGESIZE - 32, 16, "BAR0", writable=True)
    region = MappedRegion(mapping)
    assert region.read16(0) == 0x2B2A
    region.write8(15, 7)
    with pytest.raises(OutOfBounds):
        region.read8(16)
    assert os.pread(memory, 2, mmap.PAGESIZE - 17) == b"\x07\0"
    assert count_mappings() == 1
    mapping.close()
    assert count_mappings() == 0


def test_a_truncated_file_is_an_access_fault_and_works_again_afterwards(memory: int) -> None:
    mapping = Mapping.of_file(memory, 0, 8192, "BAR0", writable=True)
    region = MappedRegion(mapping)
    region.write32(4096, 7)
    os.ftruncate(memory, 4096)
    with pytest.raises(AccessFault, match="SIGBUS") as raised:
        region.read32(4096)
    assert (raised.value.offset, raised.value.width, raised.value.is_write) == (4096, 4, False)
    with pytest.raises(AccessFault) as raised:
        region.write16(4098, 5)
    assert (raised.value.offset, raised.value.width, raised.value.value) == (4098, 2, 5)
    with pytest.raises(AccessFault):
        region.wait32(4096, mask=1, value=1, timeout_s=5)
    with pytest.raises(AccessFault) as raised:
        region.read_block(4080, 64, width=8)
    assert raised.value.offset == 4096  # how far the copy came
    with pytest.raises(AccessFault) as raised:
        region.write_block(4080, bytes(range(64)), width=4)
    assert raised.value.offset == 4096
    with pytest.raises(AccessFault):
        region.doorbell(4096).ring(1)
    os.ftruncate(memory, 8192)
    assert region.read32(4096) == 0
    mapping.close()


def test_a_read_only_mapping_refuses_stores_and_keeps_what_the_machine_said(memory: int) -> None:
    mapping = Mapping.of_file(memory, 0, 8192, "BAR0", writable=False)
    with pytest.raises(ReadOnly) as raised:
        MappedRegion(mapping).write8(0, 1)
    assert isinstance(raised.value.__cause__, AccessFault)
    assert "SIGSEGV" in str(raised.value.__cause__)
    mapping.close()


def test_what_cannot_be_mapped_says_why(memory: int) -> None:
    with pytest.raises(Unsupported, match="Invalid argument"):
        Mapping.of_file(memory, 0, 0, "BAR0", writable=True)
    read_only = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY)
    try:
        with pytest.raises(PermissionRefused) as raised:
            Mapping.of_file(read_only, 0, 4096, "BAR0", writable=True)
        assert os.strerror(errno.EACCES) in str(raised.value)
    finally:
        os.close(read_only)


def test_a_plain_view_keeps_the_mapping_from_closing() -> None:
    region = MappedRegion(
        Mapping.of_buffer(bytearray(4096), "BAR0"), rule=AccessRule(ram_like=True)
    )
    view = region.window(8, 8).view()
    view[0] = 5
    assert region.read8(8) == 5
    part = view[2:4]
    view.release()
    with pytest.raises(BufferBusy, match="1 memoryviews"):
        region.close()
    assert not region.closed
    part.release()
    del view, part
    region.close()


def test_closing_twice_unmaps_once(memory: int) -> None:
    mapping = Mapping.of_file(memory, 0, 8192, "BAR0", writable=True)
    mapping.close()
    other = mmap.mmap(memory, 8192)  # may get the same address
    mapping.close()
    assert other[0] == 0
    other.close()


def test_regions_made_after_close_are_refused() -> None:
    mapping = Mapping.of_buffer(bytearray(64), "BAR0")
    mapping.close()
    with pytest.raises(Closed):
        MappedRegion(mapping)


def test_a_pause_keeps_accesses_waiting_and_lets_them_through_afterwards() -> None:
    mapping = Mapping.of_buffer(bytearray(4096), "BAR0")
    region = MappedRegion(mapping, rule=PCI)
    window = region.window(8, 8)
    closed = region.window(16, 8)
    closed.close()
    polling = threading.Thread(
        target=lambda: region.wait32(0, mask=1, value=1, timeout_s=SOON_S), daemon=True
    )
    polling.start()
    mapping.pause()
    assert not region.closed
    assert mapping.cdata.users == 0
    done: list[object] = []
    calls = [
        lambda: window.read32(0),
        lambda: region.read_block(0, 64, width=4),
        lambda: region.write_block(64, bytes(64), width=8),
        lambda: region.write32(0, 1),
    ]
    threads = [threading.Thread(target=lambda c=c: done.append(c()), daemon=True) for c in calls]
    for thread in threads:
        thread.start()
    threads[0].join(0.05)
    assert not done
    mapping.resume()
    for thread in (*threads, polling):
        thread.join(SOON_S)
        assert not thread.is_alive()
    assert len(done) == 4
    assert window.read32(0) == 0
    with pytest.raises(Closed):
        closed.read32(0)
    mapping.resume()
    mapping.close()


def test_closing_or_refusing_ends_a_pause() -> None:
    for end in (Mapping.close, lambda m: m.refuse(lambda: DeviceGone("it left"))):
        mapping = Mapping.of_buffer(bytearray(4096), "BAR0")
        region = MappedRegion(mapping)
        mapping.pause()
        raised: list[type[Exception]] = []

        def read(region=region, raised=raised) -> None:
            try:
                region.read32(0)
            except PymmioError as error:
                raised.append(type(error))

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        end(mapping)
        thread.join(SOON_S)
        assert raised == [Closed if end is Mapping.close else DeviceGone]
        mapping.close()


def test_a_refused_mapping_raises_what_it_was_given_until_it_is_closed_and_after() -> None:
    mapping = Mapping.of_buffer(bytearray(4096), "BAR0")
    region = MappedRegion(mapping)
    bell = region.doorbell(0)
    mapping.refuse(lambda: DeviceGone("it left"))
    mapping.refuse()
    for _ in range(2):
        for call in (
            lambda: region.read32(0),
            lambda: region.wait32(0, mask=1, value=1, timeout_s=SOON_S),
            lambda: region.read_block(0, 8, width=8),
            lambda: MappedRegion(mapping),
            mapping.pause,
        ):
            with pytest.raises(DeviceGone, match="it left"):
                call()
        with pytest.raises(Closed):
            bell.ring(1)
        mapping.close()


def test_a_mapping_that_is_in_use_is_not_paused() -> None:
    mapping = Mapping.of_buffer(bytearray(4096), "BAR0")
    region = MappedRegion(mapping)
    mapping.cdata.users = 1  # a call in C that does not come back
    with pytest.raises(BufferBusy, match="1 calls still use it"):
        mapping.pause(timeout_s=0.01)
    assert region.read32(0) == 0
    with pytest.raises(BufferBusy):
        mapping.close(timeout_s=0.01)
    with pytest.raises(Closed):
        region.read32(0)
    mapping.cdata.users = 0
    mapping.close()


def test_faults_and_time_outs_are_explained(memory: int) -> None:
    mapping = Mapping.of_file(memory, 0, 8192, "BAR0", writable=True)
    region = MappedRegion(mapping)
    seen: list[PymmioError] = []

    def explain(error: PymmioError) -> PymmioError:
        seen.append(error)
        return DeviceGone("it left")

    mapping.explain = explain
    with pytest.raises(DeviceGone):
        region.wait32(0, mask=1, value=1, timeout_s=0.0)
    os.ftruncate(memory, 4096)
    for call in (lambda: region.read32(4096), lambda: region.doorbell(4096).ring(1)):
        with pytest.raises(DeviceGone):
            call()
    assert [type(error) for error in seen] == [DeviceTimeout, AccessFault, AccessFault]
    mapping.close()


def test_in_a_forked_child_the_memory_is_not_there(memory: int) -> None:
    mapping = Mapping.of_file(memory, 0, 8192, "BAR0", writable=True)
    region = MappedRegion(mapping)
    doorbell = region.doorbell(0)

    def child() -> None:
        assert count_mappings() == 0
        with pytest.raises(ForkedObject):
            region.read32(0)
        with pytest.raises(ForkedObject):
            region.wait32(0, mask=1, value=1, timeout_s=1)
        with pytest.raises(Closed):
            doorbell.ring(1)
        region.close()

    in_forked_child(child)
    region.write32(0, 3)
    assert region.read32(0) == 3
    mapping.close()
