"""Memory of a device: what is written in one width is read in all, and nothing beside changes."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pymmio.errors import Misaligned, OutOfBounds, WidthRefused
from pymmio.handle import Access
from pymmio.mmio import AccessRule, Region
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject

WIDTHS = (1, 2, 4, 8)
CELL = bytes(range(0x10, 0x20))


@contextmanager
def scratch_regions(subject: Subject) -> Iterator[list[Region]]:
    """Open the device's regions of memory."""
    with subject.exerciser() as exerciser:
        yield [exerciser.device.region(index) for index in exerciser.scratch]


def places(region: Region) -> list[int]:
    """Return where cells of 16 bytes are looked at: start, around a page's end, end."""
    return [0, 0x40, 4096 - 16, 4096, region.size - 16]


@check(Group.REGIONS, Ability.SCRATCH)
def what_is_written_in_one_width_is_read_in_all(subject: Subject) -> None:
    """All widths agree about each byte, at the start, around pages and at the end."""
    with scratch_regions(subject) as regions:
        for region in regions:
            for written in WIDTHS:
                for place in places(region):
                    _write(region, place, bytes(16), 8)
                    _write(region, place, CELL, written)
                    for read in WIDTHS:
                        seen = _read(region, place, 16, read)
                        assert seen == CELL, (
                            f"{region.name}+{place:#x}: written in {written} bytes, read in {read}:"
                            f" {seen.hex()}"
                        )


@check(Group.REGIONS, Ability.SCRATCH)
def bytes_beside_a_write_stay(subject: Subject) -> None:
    """A write changes the bytes that it names and no other."""
    with scratch_regions(subject) as regions:
        for region in regions:
            for width in WIDTHS:
                for at in range(0, 16, width):
                    _write(region, 0x100, b"\xaa" * 32, 8)
                    region.write(0x108 + at, width, 0)
                    expected = bytearray(b"\xaa" * 32)
                    expected[8 + at : 8 + at + width] = bytes(width)
                    seen = _read(region, 0x100, 32, 1)
                    assert seen == expected, f"{region.name}: {width} bytes at {0x108 + at:#x}"


@check(Group.REGIONS, Ability.SCRATCH)
def blocks_arrive_whole_in_each_width(subject: Subject) -> None:
    """Blocks are the bytes of the device's memory, whatever the width or byte order."""
    data = os.urandom(256)
    with scratch_regions(subject) as regions:
        for region in regions:
            for width in WIDTHS:
                region.write_block(0x200, data, width=width)
                for other in WIDTHS:
                    assert region.read_block(0x200, 256, width=other) == data, (width, other)
            big = region.window(0, region.size, rule=AccessRule(byteorder="big"))
            assert big.read_block(0x200, 256, width=4) == data
            big.write_block(0x200, data[::-1], width=8)
            assert region.read_block(0x200, 256, width=1) == data[::-1]


@check(Group.REGIONS, Ability.SCRATCH)
def blocks_that_do_not_fit_are_refused(subject: Subject) -> None:
    """Blocks are inside, whole accesses of an allowed width; a refused one changes nothing."""
    with scratch_regions(subject) as regions:
        for region in regions:
            before = region.read_block(region.size - 64, 64, width=8)
            raises(OutOfBounds, lambda r=region: r.write_block(r.size - 8, bytes(16), width=8))  # type: ignore[misc]
            raises(OutOfBounds, lambda r=region: r.read_block(-8, 16, width=8))  # type: ignore[misc]
            raises(Misaligned, lambda r=region: r.read_block(4, 8, width=8))  # type: ignore[misc]
            raises(Misaligned, lambda r=region: r.read_block(0, 6, width=4))  # type: ignore[misc]
            raises(WidthRefused, lambda r=region: r.read_block(0, 6, width=3))  # type: ignore[misc]
            assert region.read_block(region.size - 64, 64, width=8) == before
            assert region.read_block(0, 0, width=8) == b""


@check(Group.REGIONS, Ability.SCRATCH)
def combined_writes_arrive_once_and_whole(subject: Subject) -> None:
    """Bytes of write_combined are where they belong before a later access."""
    data = os.urandom(512)
    with scratch_regions(subject) as regions:
        for region in regions:
            region.write_block(0x400 - 8, b"\x77" * 528, width=8)
            region.write_combined(0x400, data)
            seen = region.read_block(0x400 - 8, 528, width=8)
            assert seen == b"\x77" * 8 + data + b"\x77" * 8, region.name


@check(Group.REGIONS, Ability.SCRATCH)
def the_handle_reaches_the_same_memory(subject: Subject) -> None:
    """The backend's own accesses, pread and the mapping are of the same bytes."""
    with subject.exerciser() as exerciser:
        device = exerciser.device
        for index in exerciser.scratch:
            region, raw = device.region(index), device.handle.open_region(index)
            for width in WIDTHS:
                value = int.from_bytes(CELL[:width], "little")
                raw.write(0x80, width, value)
                assert region.read(0x80, width) == value, (region.name, width)
                region.write(0x80, width, value ^ 0x0F)
                assert raw.read(0x80, width) == value ^ 0x0F, (region.name, width)
            source = raw.pread_source()
            if source is not None:
                fd, start = source
                region.write32(0x80, 0x44332211)
                assert os.pread(fd, 4, start + 0x80) == bytes.fromhex("11223344")


@check(Group.REGIONS, Ability.SCRATCH)
def what_is_mapped_is_the_region(subject: Subject) -> None:
    """The file to be mapped has the region's bytes at the offset that is told."""
    with subject.exerciser() as exerciser:
        device = exerciser.device
        for index in exerciser.scratch:
            info, raw = device.regions[index], device.handle.open_region(index)
            source = raw.mmap_source()
            if source is None or device.region(index).access is not Access.MAPPED:
                continue  # on s390x memory of PCI cannot be looked at so
            fd, start = source
            for area in info.mappable:
                raw.write(area.offset + 8, 8, 0x8877665544332211)
                with mmap.mmap(fd, 4096, offset=start + area.offset) as memory:
                    assert memory[8:16] == bytes.fromhex("1122334455667788"), info.name


@check(Group.REGIONS, Ability.SCRATCH)
def plain_memory_may_be_viewed(subject: Subject) -> None:
    """Where a region is plain memory its view shows what single accesses write."""
    with subject.exerciser() as exerciser:
        device = exerciser.device
        for index in exerciser.scratch:
            region = device.region(index)
            if not device.regions[index].is_ram or region.access is not Access.MAPPED:
                continue
            with region.view() as view:
                assert len(view) == region.size
                region.write32(0x20, 0x0A0B0C0D)
                assert view[0x20:0x24] == bytes.fromhex("0d0c0b0a")
                view[0x20:0x24] = b"abcd"
            assert region.read32(0x20) == int.from_bytes(b"abcd", "little")


def _write(region: Region, at: int, data: bytes, width: int) -> None:
    for start in range(0, len(data), width):
        region.write(at + start, width, int.from_bytes(data[start : start + width], "little"))


def _read(region: Region, at: int, size: int, width: int) -> bytes:
    values = [region.read(at + start, width) for start in range(0, size, width)]
    return b"".join(value.to_bytes(width, "little") for value in values)
