"""A machine of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.backend.sysfs.fake_tree import FakeTree


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    return FakeTree.below(tmp_path)
