"""The tutorial's driver, unchanged, on the emulated card behind an IOMMU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.guest.case import case
from tests.guest.inside import EDU, bound_to_vfio

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


@case(timeout_s=60)
def case_the_driver_of_the_tutorial_prints_the_same_as_on_the_model() -> None:
    with bound_to_vfio(EDU) as function:
        done = subprocess.run(
            [sys.executable, EXAMPLES / "edu_driver.py", f"vfio:{function.address}"],
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (EXAMPLES / "edu_driver.out").read_text()
