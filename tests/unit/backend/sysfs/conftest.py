"""A machine of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.handle import Access
from tests.unit.backend.sysfs.fake_tree import FakeTree


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    return FakeTree.below(tmp_path)


@pytest.fixture(autouse=True)
def plain_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the tree are plain memory, also where PCI memory takes other instructions."""
    for module in ("pymmio.device_regions", "pymmio.backend.sysfs.device"):
        monkeypatch.setattr(f"{module}.pci_ways", lambda: (Access.MAPPED,))
