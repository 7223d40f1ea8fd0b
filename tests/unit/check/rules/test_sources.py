"""Each cell of each preset, compared with the rule of its source.

The presets are typed tables; here the sources' rules are programs, written from the same lines of
the sources and from nothing else, so that a wrong cell disagrees with its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import pytest

from pymmio.check.rules import NAMES, preset
from pymmio.check.rules.table import CELL_SIZE

POWERS = (1, 2, 4, 8)
PAGE = 0x1000
Stream = tuple[tuple[int, int], ...]  # (address, width) of each access


def one(address: int, width: int) -> Stream:
    return ((address, width),)


def cut(address: int, width: int, piece: Callable[[int, int], int]) -> Stream:
    """Cut an access as long as bytes are left: ``piece(address, left)`` is the next one."""
    stream, end = [], address + width
    while address < end:
        size = piece(address, end - address)
        stream.append((address, size))
        address += size
    return tuple(stream)


def fits(left: int, most: int = 8) -> int:
    """QEMU's pow2floor() of what is left, bounded."""
    return max(power for power in POWERS if power <= min(left, most))


def alignment(address: int) -> int:
    """QEMU's ``addr & -addr``; 0 is aligned to anything."""
    return address & -address or 8


def memory_access_size(address: int, left: int, *, is_unaligned_fine: bool) -> int:
    return fits(left, 8 if is_unaligned_fine else min(8, alignment(address)))


def do_io_rw(address: int, left: int, widest: int) -> int:
    """What Linux asks one after the other: are ``n`` bytes left, and is it aligned to ``n``?"""
    return next(n for n in (8, 4, 2, 1) if n <= widest and left >= n and address % n == 0)


def lowest_set_bit(address: int, left: int) -> int:
    """``ctz32(size | addr | 8)`` of TCG."""
    bits = left | address | 8
    return bits & -bits


# For each rule (streams that are right, whether it may be refused), None where nothing is promised.
Answer = tuple[set[Stream], bool] | None


def strict_pci(address: int, width: int) -> Answer:
    if width in POWERS and address % width == 0:
        return {one(address, width)}, False
    return set(), True


def linux_io(address: int, width: int) -> Answer:
    if width not in POWERS:
        return set(), True
    streams = {one(address, width)}
    if width == 8:
        streams |= {((address, 4), (address + 4, 4)), ((address + 4, 4), (address, 4))}
    return streams, address % width != 0


def zpci(address: int, width: int) -> Answer:
    if width not in POWERS or width > 8 - (address & 7):
        return set(), True
    return {one(address, width)}, address % width != 0


def vfio_pci(address: int, width: int) -> Answer:
    return {cut(address, width, lambda at, left: do_io_rw(at, left, 8))}, False


def vfio_pci_32(address: int, width: int) -> Answer:
    return {cut(address, width, lambda at, left: do_io_rw(at, left, 4))}, False


def ram_device_2016(address: int, width: int) -> Answer:
    return {
        cut(
            address, width, lambda at, left: memory_access_size(at, left, is_unaligned_fine=True)
        )
    }, False  # fmt: skip


def ram_device_2023(address: int, width: int) -> Answer:
    return ({one(address, 1)}, False) if width == 1 else None


def ram_device_2026(address: int, width: int) -> Answer:
    if width in POWERS and address % width == 0:
        return {one(address, width)}, False
    return None


def vfio_region_ops(address: int, width: int) -> Answer:
    return {
        cut(
            address, width, lambda at, left: memory_access_size(at, left, is_unaligned_fine=False)
        )
    }, False  # fmt: skip


def vfio_region_ops_tcg(address: int, width: int) -> Answer:
    here = min(width, PAGE - address % PAGE)  # what is in the next page is an access of its own
    first = cut(address, here, lowest_set_bit)
    return {first + cut(address + here, width - here, lowest_set_bit)}, False


# NVMe Base 2.0 §3.1.3: where registers of 64 bits are; everything else here has 32.
WIDE = {0x00, 0x28, 0x30}


def nvme(address: int, width: int) -> Answer:
    if address % 4 or width not in (4, 8):
        return set(), True
    if width == 4:
        return {one(address, 4)}, False
    halves: set[Stream] = {((address, 4), (address + 4, 4)), ((address + 4, 4), (address, 4))}
    if address in WIDE:
        return halves | {one(address, 8)}, False
    return halves, True  # two registers


# virtio 1.2 §4.1.4.3, struct virtio_pci_common_cfg: (field's width, how many of them)
COMMON = ((4, 4), (2, 2), (1, 2), (2, 1), (2, 4), (8, 3))


def common_fields() -> Iterator[tuple[int, int]]:
    at = 0
    for width, count in COMMON:
        for _ in range(count):
            yield at, width
            at += width


def virtio_common(address: int, width: int) -> Answer:
    fields = dict(common_fields())
    halves = {
        at: 4
        for start, size in fields.items()
        for at in (start, start + 4)
        if size >= 4 and at < start + size
    }
    pieces = {at: size for at, size in fields.items() if size < 4} | halves
    stream, at = [], address
    while at < address + width:
        size = pieces.get(at)
        if size is None or at + size > address + width:
            return set(), True
        stream.append((at, size))
        at += size
    streams = {tuple(stream)}
    if fields.get(address) == width == 8:
        streams.add(tuple(reversed(stream)))
    return streams, (address, width) not in fields.items() and len(stream) > 1


RULES: dict[str, Callable[[int, int], Answer]] = {
    "strict-pci": strict_pci,
    "linux-io": linux_io,
    "zpci": zpci,
    "vfio-pci": vfio_pci,
    "vfio-pci-32": vfio_pci_32,
    "qemu-ram-device-2016": ram_device_2016,
    "qemu-ram-device-2023": ram_device_2023,
    "qemu-ram-device-2026": ram_device_2026,
    "qemu-vfio-region-ops": vfio_region_ops,
    "qemu-vfio-region-ops-tcg": vfio_region_ops_tcg,
    "nvme": nvme,
    "virtio-common": virtio_common,
}


@pytest.mark.parametrize("name", NAMES)
def test_each_cell_is_what_its_source_says(name: str) -> None:
    wrong = []
    for cell in preset(name).cells:
        for direction, table in (("read", cell.reads), ("write", cell.writes)):
            for width, offset in product(table.widths, range(CELL_SIZE)):
                at = cell.base + offset
                expected, answer = table.expectations[width, offset], RULES[name](at, width)
                streams = {
                    tuple((at + start, size) for start, size in stream)
                    for stream in expected.streams
                }
                seen = None if expected.is_open else (streams, expected.may_refuse)
                if seen != answer:
                    wrong.append(f"{direction} {width} at {at:#x}: {expected.text}, not {answer}")
    assert wrong == []


# Linux and QEMU wrote the same rule down, each for itself.
SAME = {"vfio-pci", "qemu-vfio-region-ops"}


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_another_rule_would_be_seen(name: str) -> None:
    def answers(rule: Callable[[int, int], Answer]) -> list[Answer]:
        return [
            rule(cell.base + offset, width)
            for cell in preset(name).cells
            for width, offset in product(cell.reads.widths, range(CELL_SIZE))
        ]

    own = answers(RULES[name])
    like = {other for other, rule in RULES.items() if answers(rule) == own}
    assert like == (SAME if name in SAME else {name})
