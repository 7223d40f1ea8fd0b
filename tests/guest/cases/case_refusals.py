"""Bad input on a real device: the table of tests/refusals, by loads and stores and by pread."""

from __future__ import annotations

from pymmio.handle import Access
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.refusals.devices import DeviceBench
from tests.refusals.table import compare

CMB = 2  # BAR: the controller's memory buffer


@case(timeout_s=60, guest="rules", params=("mapped", "pread"))
def case_the_answers_are_those_of_the_table(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        asked, wrong = compare(DeviceBench(f"vfio:{function.address}", CMB, Access(access)))
    assert wrong == [], wrong
    assert asked > 200, asked
