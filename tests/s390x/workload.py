"""What an NVMe controller is asked to do in the guest; a program as well, for another preload.

``python -m tests.s390x.workload ADDRESS ACCESS HOW``
"""

from __future__ import annotations

import random
import sys
from typing import Literal

from pymmio.handle import Access
from pymmio_drivers.nvme import Controller

MIB = 1 << 20
SIZE = 4 * MIB
START_LBA = 2048


def keep_4_mib(address: str, access: str, how: str) -> None:
    """Identify the controller, write 4 MiB, read them and compare; ``how``: "msix" or "polling"."""
    mode: Literal["msix"] | None = None if how == "polling" else "msix"
    data = random.Random(4).randbytes(SIZE)
    with Controller.open(f"vfio:{address}", access=access, interrupts=mode) as ctrl:
        assert ctrl.interrupts == how
        assert ctrl.device.region(0).access is Access(access)
        assert (ctrl.identity.vid, ctrl.identity.sn) == (0x1B36, "pymmio-0")
        ns = ctrl.namespaces[1]
        assert ns.size == 64 * MIB
        with ctrl.alloc(SIZE) as source, ctrl.alloc(SIZE) as target:
            assert source.iova >= 1 << 32  # zPCI's apertures begin at 4 GiB
            with memoryview(source) as view:
                view[:] = data
            ns.write(source, lba=START_LBA)
            ns.flush()
            ns.read(target, lba=START_LBA)
            with memoryview(target) as view:
                assert view == data


if __name__ == "__main__":
    keep_4_mib(*sys.argv[1:])
