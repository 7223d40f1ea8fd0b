from __future__ import annotations

import struct

import pytest

from pymmio.backend.vfio.msix_table import find_msix_table
from pymmio.errors import ProtocolError
from pymmio.handle import MappedArea
from tests.unit.backend.vfio.fake_kernel import FakeKernel
from tests.unit.backend.vfio.helpers import open_fake


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def test_the_table_is_found_in_its_bar_only(kernel: FakeKernel) -> None:
    config = open_fake(kernel).open_region(7)
    assert find_msix_table(config, 0) == MappedArea(0x2000, 4 * 16)
    assert find_msix_table(config, 1) is None


def test_the_largest_table(kernel: FakeKernel) -> None:
    struct.pack_into("<HI", kernel.regions[7].content, 0x42, 0x7FF, 0xFFFF_0004)
    config = open_fake(kernel).open_region(7)
    assert find_msix_table(config, 4) == MappedArea(0xFFFF_0000, 2048 * 16)


def test_no_capabilities(kernel: FakeKernel) -> None:
    kernel.regions[7].content[6] = 0  # STATUS without the capability list
    assert find_msix_table(open_fake(kernel).open_region(7), 0) is None


def test_a_reserved_bar_is_refused(kernel: FakeKernel) -> None:
    kernel.regions[7].content[0x44] = 7
    with pytest.raises(ProtocolError):
        find_msix_table(open_fake(kernel).open_region(7), 0)
