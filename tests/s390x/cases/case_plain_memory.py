"""Copies of plain memory of which a part is bad, with the signals of a real kernel."""

from __future__ import annotations

import mmap
import os

from pymmio.dax.plain_memory import PlainMemory
from pymmio.errors import MediaError
from tests.guest.case import case

PAGE = mmap.PAGESIZE


@case(guest="s390x", timeout_s=120)
def case_a_bad_page_is_an_error_with_the_range() -> None:
    fd = os.memfd_create("half")
    os.ftruncate(fd, 2 * PAGE)
    mapped = mmap.mmap(fd, 2 * PAGE)
    memory = PlainMemory(mapped, name="half")
    os.ftruncate(fd, PAGE)
    try:
        for offset in (0, 1, 8, PAGE - 64, PAGE - 1, PAGE, PAGE + 5):
            size, moved = 2 * PAGE - offset, max(0, PAGE - offset)
            for call in (
                lambda o=offset, s=size: memory.read_into(o, bytearray(s)),
                lambda o=offset, s=size: memory.write_from(o, bytes(s)),
                lambda o=offset, s=size: memory.zero(o, s),
            ):
                try:
                    call()
                except MediaError as error:
                    found = (error.offset, error.size, error.moved)
                    assert found == (offset + moved, size - moved, moved), (offset, found)
                else:
                    raise AssertionError(f"no error at {offset}")
    finally:
        memory.close()
        mapped.close()
        os.close(fd)
