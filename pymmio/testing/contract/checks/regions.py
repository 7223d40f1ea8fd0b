"""Regions: what there is, and that single accesses reach it or are refused."""

from __future__ import annotations

import mmap

from pymmio.errors import (
    DeviceNotFound,
    DeviceTimeout,
    Misaligned,
    OutOfBounds,
    Unsupported,
    ValueOutOfRange,
    WidthRefused,
)
from pymmio.handle import CONFIG_REGION, RegionInfo
from pymmio.mmio import AccessRule, Region
from pymmio.pci import BarKind
from pymmio.testing.contract.check import Ability, Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject

WIDTHS = (1, 2, 4, 8)


@check(Group.REGIONS)
def regions_are_described_completely(subject: Subject) -> None:
    """Each region that exists is described once, configuration space among them."""
    with subject.open() as device:
        infos = list(device.handle.region_infos())
        indexes = [info.index for info in infos]
        assert len(set(indexes)) == len(indexes), f"an index stands there twice: {indexes}"
        assert CONFIG_REGION in indexes, f"configuration space is missing: {indexes}"
        assert len({info.name for info in infos}) == len(infos), [info.name for info in infos]
        for info in infos:
            assert info.name, f"region {info.index} has no name"
            assert info.size > 0, f"{info.name} has {info.size} bytes: it does not exist"
            assert info.readable or info.writable, f"{info.name} can be neither read nor written"
            if info.index == CONFIG_REGION:
                assert info.size in (256, 4096), f"configuration space of {info.size} bytes"
            elif info.index < 6:
                is_power = not info.size & (info.size - 1)
                assert is_power, f"{info.name} has {info.size:#x} bytes, no power of two"


@check(Group.REGIONS)
def descriptions_stay_the_same(subject: Subject) -> None:
    """A description is the same each time, before and after the region was opened."""
    with subject.open() as device:
        first = list(device.handle.region_infos())
        for info in first:
            if info.readable:
                opened = device.region(info.index)
                assert opened.size == info.size, (opened.size, info.size)
                assert device.handle.open_region(info.index).info == info, info.name
        assert list(device.handle.region_infos()) == first


@check(Group.REGIONS)
def what_may_be_mapped_is_whole_pages_inside(subject: Subject) -> None:
    """Areas that may be mapped are whole pages, inside the region, in order, not overlapping."""
    with subject.open() as device:
        for info in device.handle.region_infos():
            end = 0
            for area in info.mappable:
                assert area.size > 0, (info.name, area)
                assert area.offset % mmap.PAGESIZE == 0, (info.name, area)
                is_end = area.offset + area.size == info.size
                assert is_end or area.size % mmap.PAGESIZE == 0, (info.name, area)
                assert area.offset >= end, (info.name, info.mappable)
                end = area.offset + area.size
            assert end <= info.size, (info.name, info.mappable)
            if info.mappable:
                assert device.handle.open_region(info.index).mmap_source() is not None, info.name


@check(Group.REGIONS)
def regions_agree_with_the_base_address_registers(subject: Subject) -> None:
    """Memory BARs that are described have an address register of their own, and the reverse."""
    with subject.open() as device:
        described = {i.index for i in device.handle.region_infos() if i.index < 6}
        decoded = {bar.index for bar in device.config.bars()}
        # One without an address reads as 0 and is not decoded.
        assert decoded <= described, f"BARs {decoded} are in use, {described} are described"
        for bar in device.config.bars():
            if bar.kind is not BarKind.IO and bar.address:
                size = device.regions[bar.index].size
                assert bar.address % size == 0, f"BAR{bar.index} at {bar.address:#x}: {size:#x}"


@check(Group.REGIONS)
def a_region_that_is_not_there_is_not_found(subject: Subject) -> None:
    """An index without a region raises DeviceNotFound, which names those that are there."""
    with subject.open() as device:
        missing = [index for index in (*range(6), 8, 99, -1) if index not in device.regions]
        for index in missing:
            error = raises(DeviceNotFound, lambda index=index: device.region(index))  # type: ignore[misc]
            assert "config" in str(error), error


@check(Group.REGIONS)
def a_region_is_opened_once(subject: Subject) -> None:
    """The same index and rule give the same object, another rule another view of the same."""
    with subject.exerciser() as exerciser:
        device, echo = exerciser.device, exerciser.echoes[0]
        region = device.region(echo.region)
        assert device.region(echo.region) is region
        big = device.region(echo.region, rule=AccessRule(byteorder="big"))
        assert big is not region
        value = 0x01020300 & echo.mask
        exerciser.echo(echo, value, region=region)
        turned = int.from_bytes(big.read(echo.offset, echo.width).to_bytes(8, "big"), "big")
        straight = region.read(echo.offset, echo.width)
        assert turned == int.from_bytes(straight.to_bytes(echo.width, "big"), "little")


@check(Group.REGIONS)
def registers_answer_in_32_bits(subject: Subject) -> None:
    """Registers that never change read as the device's specification says, each time."""
    with subject.exerciser() as exerciser:
        for _ in range(3):
            exerciser.prove()


@check(Group.REGIONS)
def registers_show_what_was_written(subject: Subject) -> None:
    """A register shows each value that was written, in its own width: no bit is moved or lost."""
    with subject.exerciser() as exerciser:
        for echo in exerciser.echoes:
            bits = [1 << bit for bit in range(8 * echo.width) if echo.mask >> bit & 1]
            for value in (0, echo.mask, 0x0123456789ABCDEF & echo.mask, *bits):
                exerciser.echo(echo, value)


@check(Group.REGIONS)
def bad_accesses_are_refused_and_nothing_is_touched(subject: Subject) -> None:
    """What is misaligned, outside or too large raises, and the register keeps its value."""
    with subject.exerciser() as exerciser:
        echo = next(e for e in exerciser.echoes if e.width == 4)
        bar = exerciser.device.region(echo.region)
        exerciser.echo(echo, 0x00050005)
        before = bar.read32(echo.offset)
        raises(Misaligned, lambda: bar.read32(echo.offset + 2))
        raises(Misaligned, lambda: bar.write32(echo.offset + 1, 0))
        raises(OutOfBounds, lambda: bar.read32(bar.size))
        raises(OutOfBounds, lambda: bar.write8(-1, 0))
        raises(ValueOutOfRange, lambda: bar.write32(echo.offset, 1 << 32))
        raises(ValueOutOfRange, lambda: bar.write32(echo.offset, -1))
        raises(WidthRefused, lambda: bar.read(echo.offset, 3))
        assert bar.read32(echo.offset) == before


@check(Group.REGIONS)
def bounds_hold_for_each_width_in_each_region(subject: Subject) -> None:
    """An access of any width that does not lie inside its region raises OutOfBounds."""
    with subject.open() as device:
        for info in device.regions.values():
            region = _region(device.region, info)
            if region is None:
                continue
            for width in sorted(region.rule.widths):
                for offset in (-width, -1, info.size - width + 1, info.size, info.size + 4096):
                    _refused(OutOfBounds, region, offset, width)
                _refused(OutOfBounds, region, 1 << 64, width)


@check(Group.REGIONS)
def alignment_holds_for_each_width_in_each_region(subject: Subject) -> None:
    """An access that is not naturally aligned raises Misaligned, under the default rule."""
    with subject.open() as device:
        for info in device.regions.values():
            region = _region(device.region, info)
            if region is None:
                continue
            for width in sorted(region.rule.widths - {1}):
                for offset in range(1, width):
                    _refused(Misaligned, region, offset, width)
                    _refused(Misaligned, region, info.size - 2 * width + offset, width)


def _region(opened: object, info: RegionInfo) -> Region | None:
    """Open a region; None for one that is read by parts only (the ROM)."""
    assert callable(opened)
    region = opened(info.index)
    assert isinstance(region, Region)
    return region


def _refused(kind: type[Exception], region: Region, offset: int, width: int) -> None:
    what = f"{region.name}: {width} bytes at {offset:#x}"
    error = raises(kind, lambda: region.read(offset, width), f"a read of {what}")
    assert getattr(error, "offset", None) == offset, f"{what}: the error does not say where"
    assert getattr(error, "width", None) == width, f"{what}: the error does not say how wide"
    error = raises(kind, lambda: region.write(offset, width, 0), f"a write of {what}")
    assert getattr(error, "is_write", False), f"{what}: the error does not say that it is a write"


@check(Group.REGIONS)
def windows_are_parts_with_bounds_of_their_own(subject: Subject) -> None:
    """A window counts from its start, ends at its size, and must be inside and aligned."""
    with subject.exerciser() as exerciser:
        echo = exerciser.echoes[0]
        bar = exerciser.device.region(echo.region)
        start = echo.offset & ~7
        window = bar.window(start, 8)
        exerciser.echo(echo, 0x5A5A5000)
        assert window.read(echo.offset - start, echo.width) == bar.read(echo.offset, echo.width)
        inner = window.window(0, 8)
        assert inner.read(echo.offset - start, echo.width) == bar.read(echo.offset, echo.width)
        raises(OutOfBounds, lambda: window.read32(8))
        raises(OutOfBounds, lambda: window.read32(-4))
        raises(OutOfBounds, lambda: bar.window(bar.size - 8, 16))
        raises(OutOfBounds, lambda: window.window(0, 16))
        raises(Misaligned, lambda: bar.window(4, 8))


@check(Group.REGIONS)
def device_memory_is_no_bytes(subject: Subject) -> None:
    """Registers cannot be viewed as bytes: plain copies make accesses of any width."""
    with subject.exerciser() as exerciser:
        device = exerciser.device
        for info in device.regions.values():
            if not info.is_ram:
                error = raises(Unsupported, lambda i=info.index: device.region(i).view())  # type: ignore[misc]
                assert error.hint


@check(Group.REGIONS)
def writes_can_be_flushed(subject: Subject) -> None:
    """flush_writes comes back, and the register is what was written."""
    with subject.exerciser() as exerciser:
        for echo in exerciser.echoes:
            bar = exerciser.device.region(echo.region)
            bar.write(echo.offset, echo.width, echo.mask)
            bar.flush_writes(exerciser.fixed[0].offset & ~3 if echo.region == 0 else 0)
            assert bar.read(echo.offset, echo.width) & echo.mask == echo.shows(echo.mask)


@check(Group.REGIONS, Ability.WORK)
def polling_sees_the_device_finish(subject: Subject) -> None:
    """Polling returns as soon as the device shows what is waited for."""
    with subject.exerciser() as exerciser:
        poll = exerciser.work()
        region = exerciser.device.region(poll.region)
        seen = region.wait32(
            poll.offset, mask=poll.mask, value=poll.value, timeout_s=subject.seconds(30)
        )
        assert seen & poll.mask == poll.value
        exerciser.worked()


@check(Group.REGIONS)
def polling_times_out_with_the_last_value(subject: Subject) -> None:
    """Polling for what never comes raises DeviceTimeout with the value that was read last."""
    with subject.exerciser() as exerciser:
        poll = exerciser.never()
        region = exerciser.device.region(poll.region)
        error = raises(
            DeviceTimeout,
            lambda: region.wait32(poll.offset, mask=poll.mask, value=poll.value, timeout_s=0.05),
        )
        assert error.last == region.read32(poll.offset), error
        assert isinstance(error, TimeoutError)


@check(Group.REGIONS)
def doorbells_arrive(subject: Subject) -> None:
    """A doorbell, as engines ring it, is one write of the register."""
    with subject.exerciser() as exerciser:
        for echo in (e for e in exerciser.echoes if e.width == 4):
            bar = exerciser.device.region(echo.region)
            doorbell = bar.doorbell(echo.offset)
            for value in (0x00010001, 0x00020002):
                doorbell.ring(value & echo.mask)
                seen = bar.read32(echo.offset) & echo.mask
                assert seen == echo.shows(value), f"{doorbell.way}: {value:#x} rung, {seen:#x} read"
            assert doorbell.rings == 2
            raises(OutOfBounds, lambda b=bar: b.doorbell(b.size))  # type: ignore[misc]
            raises(Misaligned, lambda b=bar: b.doorbell(2))  # type: ignore[misc]
