"""The driver raises the status that a controller has to give, for every kind of bad command."""

from __future__ import annotations

import pytest

from pymmio_drivers.nvme import Controller
from tests.drivers.nvme.raw import status_of
from tests.drivers.nvme_status_cases import CASES


@pytest.fixture(scope="module")
def raw_ctrl():
    with Controller.open("sim:nvme?size=16M") as found:
        yield found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_status(raw_ctrl, case):
    assert hex(status_of(raw_ctrl, case)) == hex(case.expected)
    assert raw_ctrl.resets == 0
