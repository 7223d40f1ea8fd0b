"""The drivers' own tests, on QEMU's devices by real vfio-pci.

Chosen as for other backends (tests.drivers.elsewhere): the tests that take any device.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.guest.case import case
from tests.guest.inside import EDU, NVME, bound_to_vfio
from tests.guest.interfaces import by_interface, uri_of

ROOT = Path(__file__).resolve().parents[3]
PYTEST = (
    *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
    *("-p", "tests.drivers.elsewhere", "tests/drivers"),
)
SHOWN_LINES = 60


@by_interface("cdev", guests=("drivers",))
@case(timeout_s=900, seconds=140)
def case_tests_of_the_drivers_pass() -> None:
    with bound_to_vfio(NVME) as nvme, bound_to_vfio(EDU) as edu:
        uris = {
            "PYMMIO_TEST_NVME": uri_of(nvme.address),
            "PYMMIO_TEST_EDU": uri_of(edu.address),
        }
        done = subprocess.run(
            PYTEST, cwd=ROOT, env=os.environ | uris, capture_output=True, text=True, timeout=880
        )
    said = done.stdout.splitlines()[-SHOWN_LINES:]
    assert done.returncode == 0, "\n".join([*said, done.stderr[-2000:]])
    print(said[-1])
