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


OPENING_CHILD = "a_child_may_open_the_device_itself"  # a test of its own: see tests/bigendian
CASES = [(device, check) for device in SIM.devices for check in SIM.checks(device)]


def _cases(*, is_child: bool) -> list[tuple[str, Check]]:
    return [case for case in CASES if (case[1].name == OPENING_CHILD) == is_child]


@pytest.mark.parametrize(("device", "check"), _cases(is_child=False), ids=str)
def test_sim(device: str, check: Check) -> None:
    check.run(SIM.subject(device, URIS[device], other=URIS[device]))


@pytest.mark.parametrize(("device", "check"), _cases(is_child=True), ids=str)
def test_a_child_of_a_process_with_threads_opens_a_device(device: str, check: Check) -> None:
    check.run(SIM.subject(device, URIS[device], other=URIS[device]))
