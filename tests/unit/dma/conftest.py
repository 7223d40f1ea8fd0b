from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pymmio.dma import Budget, DmaSpace, MemoryFacts
from pymmio.testing.fakes import FakeDma

Footprint = Callable[[], tuple[int, int]]


def unlimited() -> MemoryFacts:
    return MemoryFacts()


@pytest.fixture
def dma() -> FakeDma:
    return FakeDma()


@pytest.fixture
def space(dma: FakeDma) -> Iterator[DmaSpace]:
    with DmaSpace(dma, budget=Budget(facts=unlimited), name="fake") as space:
        yield space
    assert dma.mappings == {}


@pytest.fixture
def footprint() -> Footprint:
    """Count the descriptors of this process, and its mappings of DMA memory."""

    def count() -> tuple[int, int]:
        maps = Path("/proc/self/maps").read_text()
        return len(os.listdir("/proc/self/fd")), len(re.findall("memfd:pymmio-dma", maps))

    return count
