"""The guest is what the other cases take it for."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio, find_function


@case(guest="s390x", timeout_s=60)
def case_big_endian_machine_of_this_project() -> None:
    assert platform.machine() == "s390x"
    assert sys.byteorder == "big"
    assert Path(__file__).is_relative_to("/project")
    assert os.geteuid() == 0


@case(guest="s390x", timeout_s=120)
def case_function_is_bound_to_vfio() -> None:
    function = find_function(NVME)
    assert function.address == "0001:00:00.0"  # the domain is the zPCI device's uid
    assert (function.path / "mio_enabled").read_text().strip() == "0"
    with bound_to_vfio(NVME) as bound:
        assert bound.driver == "vfio-pci"
        assert Path(f"/dev/vfio/{bound.iommu_group}").exists()
