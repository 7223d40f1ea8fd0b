from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator

import pytest

from pymmio.backend.qtest.machine.bars import PlacedBar, find_rom_size, place_bars
from pymmio.backend.qtest.machine.device_memory import DeviceMemory
from pymmio.backend.qtest.machine.iommu import Iommu
from pymmio.backend.qtest.machine.layout import BELL, LOW_RAM_LIMIT, MEMORY_WINDOW, PAGE, RamPlan
from pymmio.backend.qtest.machine.memory import Ram
from pymmio.dma.memory import SharedMemory
from pymmio.errors import DeviceNotFound, DmaError, OutOfBounds, ProtocolError, Unsupported
from pymmio.pci.bars import Bar, BarKind
from tests.unit.backend.qtest.fake_qemu import FakeFunction, device_function

MIB, GIB = 1 << 20, 1 << 30


# --- addresses ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16 * MIB, GIB, 2 * GIB, 2 * GIB + 8 * MIB, 3 * GIB, 64 * GIB])
@pytest.mark.parametrize("has_iommu", [True, False])
def test_ram_is_one_file_in_two_ranges(size: int, has_iommu: bool) -> None:
    plan = RamPlan(size, has_iommu=has_iommu)
    for usable in plan.iova_ranges:
        for address in (usable.first, usable.last):
            offset = plan.offset_of(address)
            assert 0 <= offset < plan.tables_at
            assert plan.address_of(offset) == address
    assert plan.iova_ranges[0].first == MIB
    total = sum(usable.last + 1 - usable.first for usable in plan.iova_ranges)
    assert total == size - MIB - plan.table_size
    assert plan.device_memory >= plan.top
    assert plan.device_memory % GIB == 0
    assert plan.reach > BELL


def test_ram_ends_where_the_machine_has_its_hole() -> None:
    plan = RamPlan(3 * GIB, has_iommu=False)
    assert plan.address_of(LOW_RAM_LIMIT - 1) == LOW_RAM_LIMIT - 1
    assert plan.address_of(LOW_RAM_LIMIT) == 4 * GIB
    assert plan.top == 5 * GIB


# --- BARs --------------------------------------------------------------------------------


def test_bars_get_addresses_of_their_size_and_kind() -> None:
    bars = (
        Bar(0, BarKind.MEMORY64, 0, is_prefetchable=True, size=64 * MIB),
        Bar(2, BarKind.MEMORY64, 0, size=16),
        Bar(4, BarKind.MEMORY32, 0, is_prefetchable=True, size=2 * MIB),
        Bar(5, BarKind.IO, 0, size=256),
    )
    placed = {bar.index: bar for bar in place_bars(bars, rom_size=65536)}
    assert placed[0].address == 0x80_0000_0000
    assert placed[4].address == MEMORY_WINDOW[0]
    assert placed[2].address == MEMORY_WINDOW[0] + 2 * MIB
    assert placed[6].address == MEMORY_WINDOW[0] + 2 * MIB + 65536
    assert (placed[5].address, placed[5].is_io) == (0x4000, True)
    for bar in placed.values():
        assert bar.address % bar.size == 0


def test_small_bars_share_no_page() -> None:
    bars = [Bar(index, BarKind.MEMORY32, 0, size=16) for index in range(3)]
    addresses = [bar.address for bar in place_bars(bars)]
    assert len({address // 4096 for address in addresses}) == 3


def test_a_bar_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Unsupported, match="BAR3 with 0x40000000 bytes"):
        place_bars([Bar(3, BarKind.MEMORY32, 0, size=GIB)])
    with pytest.raises(Unsupported, match="I/O ports"):
        place_bars([Bar(0, BarKind.IO, 0, size=1 << 16)])


def test_addresses_are_written_into_their_registers() -> None:
    config = _Config(device_function())
    PlacedBar(0, 0x80_0000_0000, 0x2000, is_64bit=True).write_to(config)
    PlacedBar(2, 0xC000_0000, 0x100).write_to(config)
    assert config.function.read(0x10, 8) == 0x80_0000_000C
    assert config.function.read(0x18, 4) == 0xC000_0000


def test_the_rom_is_measured_and_left_off() -> None:
    config = _Config(device_function())
    assert find_rom_size(config) == 0x800
    assert config.read32(0x30) == 0
    assert find_rom_size(_Config(FakeFunction())) == 0


class _Config:
    size = 4096

    def __init__(self, function: FakeFunction) -> None:
        self.function = function

    def read8(self, offset: int, /) -> int:
        return self.function.read(offset, 1)

    def read16(self, offset: int, /) -> int:
        return self.function.read(offset, 2)

    def read32(self, offset: int, /) -> int:
        return self.function.read(offset, 4)

    def write8(self, offset: int, value: int, /) -> None:
        self.function.write(offset, 1, value)

    def write16(self, offset: int, value: int, /) -> None:
        self.function.write(offset, 2, value)

    def write32(self, offset: int, value: int, /) -> None:
        self.function.write(offset, 4, value)


# --- the IOMMU ---------------------------------------------------------------------------


class _Registers:
    """A channel to the IOMMU's registers, and a walk of its tables as the hardware makes it."""

    timeout_s = 0.0

    def __init__(self, memory: memoryview, plan: RamPlan, *, takes: bool = True) -> None:
        self.memory = memory
        self.plan = plan
        self.takes = takes
        self.written: dict[int, int] = {}
        self.invalidations = 0

    def write(self, address: int, width: int, value: int) -> None:
        assert width == (4 if address & 0xFFF == 0x18 else 8)
        self.written[address - 0xFED90000] = value
        self.invalidations += address == 0xFED900F8

    def read(self, address: int, width: int) -> int:
        assert (address, width) == (0xFED9001C, 4)
        return self.written[0x18] if self.takes else 0

    def settle(self) -> None:
        pass

    def entry(self, table: int, index: int, size: int = 8) -> int:
        at = self.plan.offset_of(table) + index * size
        return struct.unpack_from("<Q", self.memory, at)[0]

    def translate(self, bus: int, function: int, iova: int) -> int | None:
        """Return where an access goes (VT-d, legacy mode, 39 bits), None: nowhere."""
        root = self.entry(self.written[0x20], bus, 16)
        assert root & 1
        context = self.plan.offset_of(root & ~0xFFF) + 16 * function
        low, high = struct.unpack_from("<QQ", self.memory, context)
        assert low & 0b1101 == 1
        assert high & 7 == 1
        table = low & ~0xFFF
        for shift in (30, 21, 12):
            found = self.entry(table, iova >> shift & 511)
            if found & 3 != 3:
                return None
            table = found & ~0xFFF
        return table | iova & 0xFFF


@pytest.mark.parametrize("size", [16 * MIB, 2 * GIB + 16 * MIB])
def test_the_device_reaches_allowed_pages_at_their_own_addresses(size: int) -> None:
    plan = RamPlan(size, has_iommu=True)
    ram = Ram(size)
    registers = _Registers(ram.view, plan)
    iommu = Iommu(registers, ram.view, plan)  # type: ignore[arg-type]
    iommu.switch_on()
    assert registers.written[0x18] == 1 << 31
    last = plan.iova_ranges[-1].last + 1 - 2 * PAGE
    for start, pages in ((MIB, 3), (last, 2), (BELL, 1)):
        iommu.allow(start, pages * PAGE)
        for address in (start, start + pages * PAGE - 1):
            assert registers.translate(1, 0, address) == address
            assert registers.translate(0, 24, address) == address
        assert registers.translate(1, 0, start - PAGE) is None
        assert registers.translate(1, 0, start + pages * PAGE) is None
    before = registers.invalidations
    iommu.forbid(MIB, 2 * PAGE)
    assert registers.invalidations == before + 1
    assert registers.translate(1, 0, MIB + PAGE) is None
    assert registers.translate(1, 0, MIB + 2 * PAGE) == MIB + 2 * PAGE
    registers.memory = memoryview(b"")
    ram.close()


def test_an_iommu_that_takes_no_commands_is_a_protocol_error() -> None:
    plan = RamPlan(16 * MIB, has_iommu=True)
    ram = Ram(16 * MIB)
    iommu = Iommu(_Registers(ram.view, plan, takes=False), ram.view, plan)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="does not take"):
        iommu.switch_on()
    ram.close()


# --- memory ------------------------------------------------------------------------------


@pytest.fixture
def ram() -> Iterator[Ram]:
    ram = Ram(16 * MIB)
    yield ram
    ram.close()
    ram.close()


SIZE = 4 * mmap.PAGESIZE


def lend(ram: Ram, memory: SharedMemory, offset: int) -> None:
    ram.lend(offset, SIZE, address=memory.address, fd=memory.fd, fd_offset=0)


def test_lent_memory_is_ram_with_the_contents_of_the_callers(ram: Ram) -> None:
    ram.view[MIB : MIB + SIZE] = b"\xff" * SIZE  # what somebody left there
    memory = SharedMemory(SIZE)
    with memory.view() as view:
        view[5:8] = b"abc"
        lend(ram, memory, MIB)
        assert bytes(view) == bytes(5) + b"abc" + bytes(SIZE - 8)
        ram.view[MIB] = 1
        view[SIZE - 1] = 2
        assert (view[0], ram.view[MIB + SIZE - 1]) == (1, 2)
    memory.close()


def test_memory_comes_back_with_what_it_holds(ram: Ram) -> None:
    memory = SharedMemory(SIZE)
    with memory.view() as view:
        view[-1] = 9
        lend(ram, memory, MIB)
        view[0] = 7
        view[-1] = 0
        ram.take_back(MIB, SIZE, address=memory.address, fd=memory.fd, fd_offset=0)
        assert bytes(view) == b"\x07" + bytes(SIZE - 1)
        assert os.pread(memory.fd, 1, 0) == b"\x07"
        assert not any(ram.view[MIB : MIB + SIZE])
        ram.view[MIB + 1] = 1
        assert view[1] == 0
    memory.close()


def test_lent_memory_outlives_ram() -> None:
    ram, memory = Ram(16 * MIB), SharedMemory(SIZE)
    lend(ram, memory, MIB)
    ram.close()
    with memory.view() as view:
        view[:4] = b"here"
        assert bytes(view[:4]) == b"here"
    memory.close()


def test_a_descriptor_that_cannot_be_mapped_is_a_dma_error(ram: Ram) -> None:
    memory = SharedMemory(SIZE)
    reading, writing = os.pipe()
    with pytest.raises(DmaError, match="cannot map"):
        ram.take_back(MIB, SIZE, address=memory.address, fd=reading, fd_offset=0)
    os.close(reading)
    os.close(writing)
    memory.close()


def test_ram_that_is_too_large_is_a_dma_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(os.listdir("/proc/self/fd"))

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(mmap, "mmap", fail)
    with pytest.raises(DmaError, match="ram="):
        Ram(16 * MIB)
    assert set(os.listdir("/proc/self/fd")) == before


def test_memory_of_a_device_is_found_by_its_address(tmp_path: object) -> None:
    path = f"{tmp_path}/memory"
    with open(path, "wb") as file:
        file.truncate(8192)
    memory = DeviceMemory(path, 8192, 4 * GIB)
    assert memory.find(4 * GIB + 4096, 4096) == (memory.fd, 4096)
    for start, size in ((4 * GIB - 1, 1), (4 * GIB, 8193), (4 * GIB, 0), (4 * GIB + 8192, 1)):
        with pytest.raises(OutOfBounds):
            memory.find(start, size)
    memory.close()
    memory.close()
    with pytest.raises(DeviceNotFound):
        DeviceMemory(f"{tmp_path}/none", 4096, 0)
