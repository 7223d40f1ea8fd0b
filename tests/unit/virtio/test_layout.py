"""Where the areas of a queue are, pinned to the sizes of virtio 1.2 §2.7 and §2.8."""

from __future__ import annotations

import pytest

from pymmio.errors import BadArgument
from pymmio.virtio.queue.layout import QueueLayout


def test_a_split_queue() -> None:
    layout = QueueLayout.of(256, is_packed=False, indirect_max=4)
    assert layout.driver == 4096  # 16 bytes a descriptor
    assert layout.device == 4096 + 520  # 6 + 2 * 256, to 4
    assert layout.indirect == 4096 + 520 + 2056  # 6 + 8 * 256, to 16
    assert layout.total == layout.indirect + 256 * 4 * 16


def test_a_packed_queue() -> None:
    layout = QueueLayout.of(3, is_packed=True)
    assert (layout.driver, layout.device) == (48, 52)
    assert layout.total == 64


def test_areas_are_aligned_and_apart() -> None:
    for size in (1, 2, 4, 32768):
        layout = QueueLayout.of(size, is_packed=False)
        assert layout.driver % 2 == layout.device % 4 == layout.indirect % 16 == 0
        assert layout.driver >= 16 * size
        assert layout.device >= layout.driver + 6 + 2 * size
        assert layout.total >= layout.device + 6 + 8 * size


@pytest.mark.parametrize(("size", "is_packed"), [(0, True), (3, False), (32769, True), (-1, True)])
def test_impossible_sizes_are_refused(size: int, is_packed: bool) -> None:
    with pytest.raises(BadArgument):
        QueueLayout.of(size, is_packed=is_packed)
