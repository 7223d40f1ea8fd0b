"""Reset: refused with words where there is none, done where there is FLR."""

from __future__ import annotations

from pymmio.errors import Unsupported
from tests.guest.cases.vfio_common import MEMORY_SPACE, bound_handle, refuses, set_command
from tests.guest.inside import EDU, NVME, wait_until
from tests.guest.interfaces import by_interface

# NVMe Base 2.0 §3.1.3
CC, CSTS, AQA, ASQ, ACQ = 0x14, 0x1C, 0x24, 0x28, 0x30
ENABLE = 4 << 20 | 6 << 16 | 1  # entries of 16 and 64 bytes, CC.EN
RDY = 1 << 0


@by_interface()
def case_edu_on_the_root_bus_cannot_be_reset_and_says_why() -> None:
    with bound_handle(EDU) as edu:
        with refuses(Unsupported, "cannot be reset", "root bus"):
            edu.reset()
        assert edu.open_region(0).read(0, 4) == 0x010000ED  # and nothing happened to it


@by_interface()
def case_nvme_is_reset() -> None:
    with bound_handle(NVME) as nvme:
        bar = nvme.open_region(0)
        bar.write(AQA, 4, 0x001F_001F)
        for register, iova in ((ASQ, 0x10000), (ACQ, 0x20000)):
            bar.write(register, 4, iova)
            bar.write(register + 4, 4, 0)
        bar.write(CC, 4, ENABLE)
        wait_until(lambda: bar.read(CSTS, 4) & RDY, 5.0, "CSTS.RDY")
        nvme.reset()
        set_command(nvme, on=MEMORY_SPACE)
        assert bar.read(CC, 4) & 1 == 0
        assert bar.read(CSTS, 4) & RDY == 0
