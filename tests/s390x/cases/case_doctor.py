"""What ``pymmio doctor`` says of this machine, and what then really works."""

from __future__ import annotations

import json
import subprocess
import sys

import pymmio
from pymmio.handle import Access
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio

TIMEOUT_S = 100


def _doctor(*arguments: str) -> tuple[int, list[dict[str, str]]]:
    command = [sys.executable, "-m", "pymmio.cli", "doctor", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    findings: list[dict[str, str]] = json.loads(done.stdout)
    return done.returncode, findings


@case(guest="s390x", timeout_s=150, seconds=9)
def case_accessors_are_system_calls_here() -> None:
    status, findings = _doctor()
    print(json.dumps(findings, indent=1))
    assert status == 0
    by_name = {(one["topic"], one["name"]): one for one in findings}
    processor = {name: one for (topic, name), one in by_name.items() if topic == "processor"}
    assert processor["architecture"]["seen"] == "s390x, big-endian"
    assert processor["MMIO"]["state"] == "info"
    assert processor["MMIO"]["seen"] == "system calls 352 and 353"
    assert "z15" in processor["MMIO"]["next_step"]
    assert "put in at the first mapping" in processor["fault handler"]["seen"]


@case(guest="s390x", timeout_s=200, seconds=9)
def case_a_device_that_is_called_ready_opens() -> None:
    with bound_to_vfio(NVME) as function:
        status, findings = _doctor("--check", f"vfio:{function.address}")
        print(json.dumps(findings, indent=1))
        assert status == 0
        with pymmio.open_device(f"vfio:{function.address}") as device:
            region = device.region(0)
            assert region.access is Access.SYSCALL
            assert region.read32(8) == 0x0001_0400
