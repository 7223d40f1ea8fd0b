"""Bad input on a real device behind zPCI: the table of tests/refusals, in each way of access."""

from __future__ import annotations

from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.s390x import workload
from tests.s390x.instructions import run_with_instructions


@case(guest="s390x", timeout_s=200, params=("syscall", "pread"))
def case_the_answers_are_those_of_the_table(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        workload.refuse(function.address, access)


@case(guest="s390x", timeout_s=240)
def case_the_answers_of_memory_io_instructions_are_those_of_the_table() -> None:
    with bound_to_vfio(NVME) as function:
        run_with_instructions("refuse", function.address, "mio")
