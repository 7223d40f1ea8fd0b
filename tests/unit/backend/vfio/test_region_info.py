from __future__ import annotations

import mmap

import pytest

from pymmio.errors import ProtocolError
from pymmio.handle import MappedArea
from tests.unit.backend.vfio.fake_kernel import FakeKernel, FakeRegion, cap, pairs
from tests.unit.backend.vfio.helpers import open_fake

PAGE = mmap.PAGESIZE
MAPPABLE = 0b1111  # READ, WRITE, MMAP, CAPS


@pytest.fixture
def kernel() -> FakeKernel:
    return FakeKernel()


def mappable(kernel: FakeKernel) -> tuple[MappedArea, ...]:
    return open_fake(kernel).region_infos()[0].mappable


def test_regions_that_exist_are_listed_by_index(kernel: FakeKernel) -> None:
    kernel.regions[6] = FakeRegion(bytearray(0x800), 0b0001)
    kernel.regions[8] = FakeRegion(bytearray(0xC0000))
    kernel.regions[9] = FakeRegion(bytearray(0x1000))
    kernel.region_count = 10
    infos = open_fake(kernel).region_infos()
    assert [(i.index, i.name, i.size) for i in infos] == [
        (0, "BAR0", 0x4000),
        (2, "BAR2", 0x20),
        (6, "ROM", 0x800),
        (7, "config", 256),
        (8, "VGA", 0xC0000),
        (9, "region9", 0x1000),
    ]
    assert [i.writable for i in infos] == [True, True, False, True, True, True]


def test_a_region_with_the_mmap_flag_is_mappable_as_a_whole(kernel: FakeKernel) -> None:
    kernel.regions[0].flags, kernel.regions[0].caps = 0b0111, []
    assert mappable(kernel) == (MappedArea(0, 0x4000),)


def test_a_region_smaller_than_a_page_is_mappable_up_to_its_size(kernel: FakeKernel) -> None:
    kernel.regions[0] = FakeRegion(bytearray(0x100), 0b0111)
    assert mappable(kernel) == (MappedArea(0, 0x100),)


def test_a_region_without_the_flag_is_not_mappable(kernel: FakeKernel) -> None:
    kernel.regions[0] = FakeRegion(bytearray(4 * PAGE), 0b1011, [cap(1, 1, pairs((0, PAGE)))])
    assert mappable(kernel) == ()


def test_sparse_areas_are_what_may_be_mapped(kernel: FakeKernel) -> None:
    areas = pairs((3 * PAGE, PAGE), (0, 2 * PAGE))
    kernel.regions[0] = FakeRegion(bytearray(4 * PAGE), MAPPABLE, [cap(1, 1, areas)])
    record = open_fake(kernel).region_records()[0]
    assert record.info.mappable == (MappedArea(0, 2 * PAGE), MappedArea(3 * PAGE, PAGE))
    assert record.has_sparse_areas


def test_sparse_without_areas_means_unmappable(kernel: FakeKernel) -> None:
    kernel.regions[0] = FakeRegion(bytearray(4 * PAGE), MAPPABLE, [cap(1, 1, pairs())])
    assert mappable(kernel) == ()


def test_areas_off_page_boundaries_and_empty_ones_are_left_out(kernel: FakeKernel) -> None:
    areas = pairs((0, 0), (8, PAGE), (2 * PAGE, 64))
    kernel.regions[0] = FakeRegion(bytearray(4 * PAGE), MAPPABLE, [cap(1, 1, areas)])
    assert mappable(kernel) == (MappedArea(2 * PAGE, 64),)


def test_msix_mappable_is_noted_and_unknown_capabilities_are_passed_over(
    kernel: FakeKernel,
) -> None:
    kernel.regions[0].caps = [cap(99, 1, b"12345678"), cap(2, 1, bytes(8)), cap(3, 1, b"")]
    record = open_fake(kernel).region_records()[0]
    assert record.msix_is_mappable
    assert not record.has_sparse_areas
    assert record.info.mappable == (MappedArea(0, 0x4000),)


def test_without_its_capability_the_msix_table_counts_as_unmappable(kernel: FakeKernel) -> None:
    kernel.regions[0].caps = [cap(99, 1, b"12345678"), cap(3, 2, b"")]
    assert not open_fake(kernel).region_records()[0].msix_is_mappable


@pytest.mark.parametrize(
    "areas",
    [
        pairs((0, 5 * PAGE)),
        pairs((4 * PAGE, PAGE)),
        pairs((1 << 63, 1 << 63)),
        pairs((0, 2 * PAGE), (PAGE, PAGE)),
        b"\xff\xff\xff\xff\0\0\0\0",
    ],
)
def test_areas_that_cannot_be_are_refused_and_nothing_stays_open(
    kernel: FakeKernel, areas: bytes
) -> None:
    kernel.regions[0] = FakeRegion(bytearray(4 * PAGE), MAPPABLE, [cap(1, 1, areas)])
    with pytest.raises(ProtocolError):
        open_fake(kernel)
    assert kernel.open_fds == {}


def test_a_size_beyond_any_file_is_refused(kernel: FakeKernel) -> None:
    def huge(answer: bytes) -> bytes:
        return answer[:16] + b"\xff" * 8 + answer[24:]

    kernel.change_answer["DEVICE_GET_REGION_INFO"] = huge
    with pytest.raises(ProtocolError, match="BAR0"):
        open_fake(kernel)
    assert kernel.open_fds == {}


def test_io_port_bars_are_marked(kernel: FakeKernel) -> None:
    assert [r.is_io_port for r in open_fake(kernel).region_records()] == [False, True, False]
