"""The contract of backends, on devices in this process."""

from __future__ import annotations

import pytest

from pymmio.testing.contract import Check
from tests.contract.backends import SIM

URIS = {
    "edu": "sim:edu",
    "nvme": "sim:nvme?size=16M",
    "access-recorder": "sim:access-recorder",
}


@pytest.mark.parametrize(
    ("device", "check"),
    [(device, check) for device in SIM.devices for check in SIM.checks(device)],
    ids=str,
)
def test_sim(device: str, check: Check) -> None:
    check.run(SIM.subject(device, URIS[device], other=URIS[device]))
