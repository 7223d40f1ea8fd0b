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


# Tests of their own, for these start threads in a forked child: see tests/bigendian.
IN_CHILDREN = {"a_child_may_open_the_device_itself", "a_device_whose_user_was_killed_can_be_taken"}
ALL = [(device, check) for device in URIS for check in checks(device)]


@pytest.mark.parametrize(
    ("device", "check"), [one for one in ALL if one[1].name not in IN_CHILDREN], ids=str
)
def test_faults(device: str, check: Check) -> None:
    run(device, check)


@pytest.mark.parametrize(
    ("device", "check"), [one for one in ALL if one[1].name in IN_CHILDREN], ids=str
)
def test_faults_in_a_child(device: str, check: Check) -> None:
    run(device, check)


def run(device: str, check: Check) -> None:
    uri = URIS[device]
    check.run(Subject(uri, device, other=uri, remove=_remove, opener=faults.open_device))
