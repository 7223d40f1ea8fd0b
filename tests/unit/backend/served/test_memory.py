"""Memory of BARs in files that may be handed on."""

from __future__ import annotations

import mmap
import os

import pytest

from pymmio.backend.served import BarMemory


def test_it_is_zero_and_shared_with_whoever_maps_the_file() -> None:
    memory = BarMemory("test", 8192, sealed=False)
    with mmap.mmap(memory.fd, 8192) as other:
        assert memory.map[:] == bytes(8192)
        other[5] = 1
        assert memory.map[5] == 1
    memory.close()


@pytest.mark.parametrize("size", [0, 4096, 16384])
def test_nobody_changes_the_size_of_sealed_memory(size: int) -> None:
    memory = BarMemory("test", 8192, sealed=True)
    with pytest.raises(PermissionError):
        os.ftruncate(memory.fd, size)
    memory.close()


def test_nothing_is_left_if_it_cannot_be_made() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises((OSError, OverflowError)):
        BarMemory("test", 1 << 62, sealed=True)
    assert len(os.listdir("/proc/self/fd")) == before
