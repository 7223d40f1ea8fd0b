"""What the NVMe commands have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymmio.cli.nvme.common import (
    CHUNK_SIZE,
    chunk_buffer,
    chunks,
    open_controller,
    require_range,
)
from pymmio.cli.options import Target
from pymmio.errors import DeviceNotFound
from pymmio_drivers.nvme import LbaOutOfRange


class Blocks:
    """As much of a namespace as chunks() looks at."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size


@given(
    st.sampled_from([512, 4096, 1 << 20, 1 << 21]),
    st.integers(min_value=0, max_value=1 << 40),
    st.integers(min_value=1, max_value=10_000),
)
def test_chunks_cover_a_range_without_gap_or_overlap(
    block_size: int, lba: int, blocks: int
) -> None:
    at = lba
    for start, count in chunks(Blocks(block_size), lba, blocks):  # type: ignore[arg-type]
        assert start == at
        assert count == 1 or 0 < count * block_size <= CHUNK_SIZE
        at += count
    assert at == lba + blocks


def test_the_device_and_the_controller_are_closed_at_the_end() -> None:
    with open_controller(Target("sim:nvme")) as controller:
        assert not controller.closed
    assert controller.closed
    assert controller.device.closed


def test_they_are_closed_after_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), open_controller(Target("sim:nvme")) as controller:
        raise ZeroDivisionError
    assert controller.device.closed


def test_a_namespace_is_found_or_told() -> None:
    with open_controller(Target("sim:nvme?ns=2")) as controller:
        assert controller.namespaces[2].nsid == 2
        with pytest.raises(DeviceNotFound, match="Active: 1, 2"):
            _ = controller.namespaces[3]


def test_a_range_is_checked_to_the_last_block() -> None:
    with open_controller(Target("sim:nvme?size=1M")) as controller:
        namespace = controller.namespaces[1]
        require_range(namespace, 2047, 1)
        require_range(namespace, 0, 2048)
        with pytest.raises(LbaOutOfRange):
            require_range(namespace, 2047, 2)


@pytest.mark.parametrize(("blocks", "size"), [(1, 512), (2048, 1 << 20), (5000, 1 << 20)])
def test_the_buffer_holds_the_largest_chunk(blocks: int, size: int) -> None:
    with open_controller(Target("sim:nvme?size=64M")) as controller:
        with chunk_buffer(controller.namespaces[1], blocks) as buffer:
            assert buffer.size == size
