"""A device in front of which nothing goes wrong yet keeps the contract of backends."""

from __future__ import annotations

import pytest

from pymmio.device import Device
from pymmio.testing import faults
from pymmio.testing.contract import Check, Subject, checks
from pymmio.testing.faults import Fault
from tests.contract.test_sim import URIS


def _remove(device: Device) -> None:
    faults.faults_of(device).add(Fault.removed())
    device.region(0).read32(0)


@pytest.mark.parametrize(
    ("device", "check"),
    [(device, check) for device in URIS for check in checks(device)],
    ids=str,
)
def test_faults(device: str, check: Check) -> None:
    uri = URIS[device]
    check.run(Subject(uri, device, other=uri, remove=_remove, opener=faults.open_device))
