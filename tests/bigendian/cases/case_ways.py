"""Regions of PCI memory on s390x, from Python: each access is one instruction or system call.

Run by ``python -m tests.bigendian.run``, with the emulator of tests/arch/mio in front.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from pymmio.arch import fault_handler_state, pci_ways
from pymmio.backend.sim import SimHandle
from pymmio.device import Device
from pymmio.errors import (
    AccessFault,
    Closed,
    DeviceTimeout,
    MioError,
    Misaligned,
    OutOfBounds,
    PymmioError,
    ReadOnly,
    Unsupported,
    WidthRefused,
)
from pymmio.handle import Access, RegionInfo
from pymmio.mmio import AccessRule, MappedRegion, Mapping
from pymmio.uri import DeviceUri
from tests.bigendian.mio import PRELOADED, Emulator
from tests.unit.backend.sim.rig import Rig

SIZE = 8192
READS = {Access.MIO: "PCILGI", Access.SYSCALL: "353"}
WRITES = {Access.MIO: "PCISTGI", Access.SYSCALL: "352"}


@dataclass
class Bench:
    """A region in one way, its memory as a file, and the emulator."""

    way: Access
    fd: int
    region: MappedRegion
    emulator: Emulator

    def memory(self, offset: int, size: int) -> bytes:
        return os.pread(self.fd, size, offset)

    def fail_next(self) -> None:
        if self.way is Access.MIO:
            self.emulator.fail_next_instruction(1, 12)
        else:
            self.emulator.fail_next_call(-errno.ENXIO)


@pytest.fixture(params=[Access.MIO, Access.SYSCALL])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    assert PRELOADED, "run by python -m tests.bigendian.run"
    fd = os.memfd_create("bar")
    os.ftruncate(fd, SIZE)
    os.pwrite(fd, bytes(i % 251 for i in range(SIZE)), 0)
    mapping = Mapping.of_file(fd, 0, SIZE, "BAR0", writable=True, access=request.param)
    region = MappedRegion(mapping)
    yield Bench(request.param, fd, region, Emulator())
    region.close()
    os.close(fd)


def test_both_ways_are_offered_and_instructions_come_first() -> None:
    assert pci_ways() == (Access.MIO, Access.SYSCALL)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_read_is_one_access_of_its_width(bench: Bench, width: int) -> None:
    offset = 0x48
    read = getattr(bench.region, f"read{8 * width}")
    assert read(offset) == int.from_bytes(bench.memory(offset, width), "little")
    assert bench.emulator.executed() == {(READS[bench.way], width): 1}


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_a_write_is_one_access_of_its_width(bench: Bench, width: int) -> None:
    before = bench.memory(0, 64)
    value = 0x8192A3B4C5D6E7F8 >> (64 - 8 * width)
    getattr(bench.region, f"write{8 * width}")(0x10, value)
    assert bench.emulator.executed() == {(WRITES[bench.way], width): 1}
    written = value.to_bytes(width, "little")
    assert bench.memory(0, 64) == before[:0x10] + written + before[0x10 + width :]


def test_byte_order_is_that_of_the_rule(bench: Bench) -> None:
    big = bench.region.window(0, 64, rule=AccessRule(byteorder="big"))
    big.write32(0, 0x01020304)
    assert bench.memory(0, 4) == b"\1\2\3\4"
    assert bench.region.read32(0) == 0x04030201


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_blocks_are_accesses_of_one_width(bench: Bench, width: int) -> None:
    assert bench.region.read_block(64, 40, width=width) == bench.memory(64, 40)
    assert bench.emulator.executed() == {(READS[bench.way], width): 40 // width}
    bench.region.write_block(128, bytes(range(40)), width=width)
    assert bench.emulator.executed() == {(WRITES[bench.way], width): 40 // width}
    assert bench.memory(128, 40) == bytes(range(40))


def test_a_combined_write_is_as_wide_as_the_way_allows(bench: Bench) -> None:
    data = bytes(i % 253 for i in range(304))
    bench.region.write_combined(4096 - 24, data)
    assert bench.memory(4096 - 24, len(data)) == data
    executed = bench.emulator.executed()
    if bench.way is Access.MIO:
        assert executed == {
            ("PCISTBI", 24): 2,
            ("PCISTBI", 128): 2,
            ("PCIWB", 0): 1,
        }
    else:
        assert executed.pop(("PCIWB", 0)) == 1
        assert executed == {("352", 8): 38}


def test_waits_poll_by_that_way(bench: Bench) -> None:
    bench.region.write32(0, 0x30)
    assert bench.region.wait32(0, mask=0xF0, value=0x30, timeout_s=5) == 0x30
    with pytest.raises(DeviceTimeout) as late:
        bench.region.wait32(0, mask=0xF0, value=0x40, timeout_s=0.01)
    assert late.value.last == 0x30
    assert {key for key in bench.emulator.executed() if key[1]} == {
        (READS[bench.way], 4),
        (WRITES[bench.way], 4),
    }


def test_a_doorbell_rings_by_that_way(bench: Bench) -> None:
    doorbell = bench.region.doorbell(8)
    doorbell.ring(0x01020304)
    assert bench.memory(8, 4) == b"\4\3\2\1"
    assert bench.emulator.executed() == {(WRITES[bench.way], 4): 1}
    bench.fail_next()
    with pytest.raises(AccessFault) as raised:
        doorbell.ring(5)
    assert raised.value.__cause__ is not None
    assert bench.memory(8, 4) == b"\4\3\2\1"


@pytest.mark.parametrize("cc", [1, 2, 3])
@pytest.mark.parametrize("is_write", [False, True])
def test_a_condition_code_is_an_exception_with_place_and_meaning(
    bench: Bench, cc: int, is_write: bool
) -> None:
    if bench.way is Access.MIO:
        bench.emulator.fail_next_instruction(cc, 4)
    else:
        bench.emulator.fail_next_call(cc)
    before = bench.memory(0, 32)
    with pytest.raises(AccessFault, match=f"condition code {cc}") as raised:
        bench.region.write16(6, 0x1234) if is_write else bench.region.read16(6)
    error = raised.value
    assert (error.region, error.offset, error.width, error.is_write) == ("BAR0", 6, 2, is_write)
    assert error.value == (0x1234 if is_write else None)
    assert error.cause_code == cc
    cause = error.__cause__
    assert isinstance(cause, MioError)
    assert (cause.cc, cause.status) == (cc, 4 if bench.way is Access.MIO else None)
    assert bench.memory(0, 32) == before
    bench.region.write16(6, 7)  # the next one is good again
    assert bench.region.read16(6) == 7


@pytest.mark.parametrize("number", [errno.ENXIO, errno.EINVAL, errno.EACCES, errno.EFAULT])
def test_an_errno_is_an_exception_with_its_cause(bench: Bench, number: int) -> None:
    if bench.way is Access.MIO:
        return  # instructions have none
    bench.emulator.fail_next_call(-number)
    with pytest.raises(AccessFault, match=errno.errorcode[number]) as raised:
        bench.region.read64(8)
    assert raised.value.cause_code == number
    assert isinstance(raised.value.__cause__, OSError)
    assert raised.value.__cause__.errno == number


def test_a_copy_that_fails_says_where(bench: Bench) -> None:
    os.ftruncate(bench.fd, 4096)
    with pytest.raises(AccessFault) as raised:
        bench.region.read_block(4096 - 16, 64, width=8)
    assert raised.value.offset == 4096
    with pytest.raises(AccessFault) as raised:
        bench.region.write_combined(4096 - 16, bytes(64))
    assert raised.value.offset == 4096


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda r: r.read16(1), Misaligned),
        (lambda r: r.read32(6), Misaligned),
        (lambda r: r.write64(4, 0), Misaligned),
        (lambda r: r.read64(4095), Misaligned),
        (lambda r: r.read(0, 3), WidthRefused),
        (lambda r: r.read(0, 0), WidthRefused),
        (lambda r: r.read(0, 16), WidthRefused),
        (lambda r: r.read32(SIZE), OutOfBounds),
        (lambda r: r.read32(-4), OutOfBounds),
        (lambda r: r.read_block(2, 8, width=4), Misaligned),
        (lambda r: r.write_block(0, bytes(6), width=4), Misaligned),
        (lambda r: r.write_combined(0, bytes(7)), Misaligned),
        (lambda r: r.doorbell(2), Misaligned),
        (lambda r: r.view(), Unsupported),
    ],
)
def test_bad_accesses_are_refused_as_everywhere_and_nothing_is_executed(
    bench: Bench, call: object, kind: type[PymmioError]
) -> None:
    with pytest.raises(kind):
        call(bench.region)  # type: ignore[operator]
    assert bench.emulator.executed() == {}


def test_plain_bytes_are_refused_with_the_reason(bench: Bench) -> None:
    memory = bench.region.window(0, 64, rule=AccessRule(ram_like=True))
    with pytest.raises(Unsupported, match="plain loads and stores do not reach"):
        memory.view()


def test_a_read_only_mapping_refuses_writes_and_keeps_the_cause(bench: Bench) -> None:
    mapping = Mapping.of_file(bench.fd, 0, 4096, "ROM", writable=False, access=bench.way)
    region = MappedRegion(mapping)
    with pytest.raises(ReadOnly) as raised:
        region.write32(0, 1)
    assert isinstance(raised.value.__cause__, AccessFault)
    assert region.read32(0) == int.from_bytes(bench.memory(0, 4), "little")
    region.close()


def test_nothing_is_executed_after_close(bench: Bench) -> None:
    bench.region.close()
    for call in (lambda: bench.region.read32(0), lambda: bench.region.write32(0, 1)):
        with pytest.raises(Closed):
            call()
    assert bench.emulator.executed() == {}


def test_threads_share_a_region(bench: Bench) -> None:
    def work(index: int) -> None:
        for value in range(100):
            bench.region.write32(4 * index, value)
            assert bench.region.read32(4 * index) == value

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert bench.emulator.executed() == {
        (READS[bench.way], 4): 400,
        (WRITES[bench.way], 4): 400,
    }


def test_the_handler_is_ours_for_illegal_instructions_too(bench: Bench) -> None:
    assert fault_handler_state() == dict.fromkeys(("SIGBUS", "SIGSEGV", "SIGILL"), "pymmio")


class _Card(SimHandle):
    """A device whose BAR2 passes for PCI memory."""

    def region_infos(self) -> list[RegionInfo]:
        return [replace(info, is_ram=False) for info in super().region_infos()]


@pytest.mark.parametrize("asked", [Access.AUTO, Access.MIO, Access.SYSCALL])
def test_a_device_reaches_its_memory_by_the_best_way_or_the_one_asked_for(asked: Access) -> None:
    handle = _Card(Rig(), "sim:rig")
    with Device(DeviceUri("sim", "rig"), handle, access=asked) as device:
        emulator = Emulator()
        region = device.region(2)
        way = Access.MIO if asked is Access.AUTO else asked
        assert region.access is way
        region.write32(0x10, 0x01020304)
        assert region.read32(0x10) == 0x01020304
        assert emulator.executed() == {(WRITES[way], 4): 1, (READS[way], 4): 1}
        assert bytes(handle.bar_memory(2)[0x10:0x14]) == b"\4\3\2\1"
