"""All widths in the controller's memory buffer (BAR 2) agree, written one way and read another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pymmio
from pymmio.mmio import Region
from tests.guest.case import case
from tests.guest.inside import NVME, Function, bound_to_vfio

WAYS = ("syscall", "pread")
WIDTHS = (1, 2, 4, 8)
MEMORY = 2  # BAR
CELL = bytes(range(0x10, 0x20))  # 16 different bytes
# Where the cells of the four widths stand: at the start, around a page's end, at the end.
GROUPS = (0, 4096 - 32, (1 << 20) - 64)


@contextmanager
def _memory(function: Function, access: str) -> Iterator[Region]:
    with pymmio.open_device(f"vfio:{function.address}", access=access) as device:
        region = device.region(MEMORY)
        assert region.access == access
        yield region


@case(guest="s390x", timeout_s=120, params=tuple(f"{w}-{r}" for w in WAYS for r in WAYS))
def case_what_is_written_in_one_width_is_read_in_all(ways: str) -> None:
    writer, reader = ways.split("-")
    cells = [(group + 16 * i, width) for group in GROUPS for i, width in enumerate(WIDTHS)]
    with bound_to_vfio(NVME) as function:
        with _memory(function, writer) as region:
            for cell, width in cells:
                region.write_block(cell, bytes(16), width=8)
                for at in range(0, 16, width):
                    region.write(cell + at, width, int.from_bytes(CELL[at : at + width], "little"))
        with _memory(function, reader) as region:
            for cell, _ in cells:
                for width in WIDTHS:
                    values = [region.read(cell + at, width) for at in range(0, 16, width)]
                    assert b"".join(v.to_bytes(width, "little") for v in values) == CELL
                    assert region.read_block(cell, 16, width=width) == CELL


@case(guest="s390x", timeout_s=120, params=WAYS)
def case_copies_of_any_length_arrive_whole(access: str) -> None:
    # QEMU turns the bytes of a store of more than 8 around: no copy may go that way.
    data = bytes(n * 7 & 0xFF for n in range(3 * 4096))
    with bound_to_vfio(NVME) as function, _memory(function, access) as region:
        region.write_combined(4096 - 64, data)
        assert region.read_block(4096 - 64, len(data), width=8) == data
        region.write_block(0x20000, data, width=4)
        assert region.read_block(0x20000, len(data), width=4) == data
