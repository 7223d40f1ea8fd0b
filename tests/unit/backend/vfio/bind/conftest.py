from __future__ import annotations

import pytest

from tests.unit.backend.vfio.bind.fake_machine import FakeMachine


@pytest.fixture
def machine(tmp_path):
    return FakeMachine(tmp_path)
