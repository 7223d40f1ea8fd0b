"""HandleRegion: exactly the accesses that the rule plans reach the handle."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pymmio.errors import ForkedObject, ReadOnly, WriteOnly
from pymmio.handle import Access
from pymmio.mmio import AccessRule, HandleRegion, Order, Violation
from tests.children import in_forked_child
from tests.unit.mmio.recorder import Recorder


def test_one_access_is_one_access() -> None:
    recorder = Recorder()
    region = HandleRegion(recorder, access=Access.MESSAGE)
    region.read8(3), region.read16(2), region.read32(4), region.read64(8)
    region.write32(12, 1)
    assert recorder.accesses == [
        ("read", 3, 1),
        ("read", 2, 2),
        ("read", 4, 4),
        ("read", 8, 8),
        ("write", 12, 4),
    ]


def test_halves_go_in_the_asked_order() -> None:
    recorder = Recorder()
    HandleRegion(recorder, access=Access.MESSAGE).write64(8, 1 << 32, order=Order.HIGH_FIRST)
    assert recorder.accesses == [("write", 12, 4), ("write", 8, 4)]
    assert recorder.memory[8:16] == bytes([0, 0, 0, 0, 1, 0, 0, 0])


def test_split_pieces_reach_the_device_low_address_first() -> None:
    recorder = Recorder()
    rule = AccessRule(aligned=False, otherwise=Violation.SPLIT)
    HandleRegion(recorder, access=Access.MESSAGE, rule=rule).read32(1)
    assert recorder.accesses == [("read", 1, 1), ("read", 2, 2), ("read", 4, 1)]


def test_read_only_and_write_only_regions() -> None:
    with pytest.raises(ReadOnly):
        HandleRegion(Recorder(writable=False), access=Access.MESSAGE).write8(0, 1)
    with pytest.raises(WriteOnly):
        HandleRegion(Recorder(readable=False), access=Access.MESSAGE).read8(0)


def test_a_doorbell_of_a_pread_region_is_a_pwrite(tmp_path: Path) -> None:
    path = tmp_path / "region"
    path.write_bytes(bytes(128))
    with path.open("r+b") as file:
        recorder = Recorder()
        recorder.pread_source = lambda: (file.fileno(), 64)  # type: ignore[method-assign]
        region = HandleRegion(recorder, access=Access.PREAD)
        doorbell = region.doorbell(8)
        assert doorbell.way == "syscall"
        doorbell.ring(0x01020304)
        assert path.read_bytes()[72:76] == bytes([4, 3, 2, 1])
        assert recorder.accesses == []
        before = len(os.listdir("/proc/self/fd"))
        region.close()
        assert len(os.listdir("/proc/self/fd")) == before - 1


def test_a_failing_pwrite_says_why(tmp_path: Path) -> None:
    path = tmp_path / "region"
    path.write_bytes(bytes(64))
    with path.open("rb") as file:  # not writable
        recorder = Recorder()
        recorder.pread_source = lambda: (file.fileno(), 0)  # type: ignore[method-assign]
        region = HandleRegion(recorder, access=Access.PREAD)
        with pytest.raises(OSError, match="Bad file descriptor"):
            region.doorbell(8).ring(1)
        region.close()


def test_a_python_doorbell_hands_on_the_last_value() -> None:
    recorder = Recorder()
    region = HandleRegion(recorder, access=Access.MESSAGE)
    doorbell = region.doorbell(8)
    assert doorbell.needs_delivery
    doorbell.deliver()  # nothing is pending
    assert recorder.accesses == []
    doorbell.ring(5)
    assert recorder.accesses == [("write", 8, 4)]


def test_a_ring_that_ctrl_c_interrupts_is_delivered_later() -> None:
    recorder = Recorder()
    region = HandleRegion(recorder, access=Access.MESSAGE)
    doorbell = region.doorbell(8)
    write, interrupts = recorder.write, [KeyboardInterrupt()]

    def interrupted(offset: int, width: int, value: int) -> None:
        if interrupts:
            raise interrupts.pop()
        write(offset, width, value)

    recorder.write = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        doorbell.ring(7)
    doorbell.deliver()
    doorbell.deliver()
    assert recorder.accesses == [("write", 8, 4)]
    assert recorder.memory[8] == 7


def test_in_a_forked_child_nothing_reaches_the_device() -> None:
    region = HandleRegion(Recorder(), access=Access.MESSAGE)

    def child() -> None:
        with pytest.raises(ForkedObject):
            region.read32(0)
        region.close()

    in_forked_child(child)
    assert region.read8(1) == 1
