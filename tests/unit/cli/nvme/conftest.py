"""Fixtures for tests of the NVMe commands."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest

BLOCK_SIZE = 512


@dataclass(frozen=True)
class Disk:
    """A file behind a simulated controller, filled with noise."""

    path: Path
    content: bytes

    @property
    def uri(self) -> str:
        return f"sim:nvme?file={self.path}"

    def blocks(self, lba: int, count: int) -> bytes:
        """Return what was in these blocks at the beginning."""
        return self.content[lba * BLOCK_SIZE : (lba + count) * BLOCK_SIZE]

    @property
    def is_untouched(self) -> bool:
        return self.path.read_bytes() == self.content


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    content = random.Random(1).randbytes(4 << 20)
    path = tmp_path / "disk.img"
    path.write_bytes(content)
    return Disk(path, content)
