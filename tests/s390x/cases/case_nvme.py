"""The NVMe driver over zPCI by real vfio-pci, in each way of access."""

from __future__ import annotations

from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.s390x import workload
from tests.s390x.instructions import LOAD, STORE, run_with_instructions

WAYS = ("syscall", "pread")
HOW = ("msix", "polling")


@case(
    guest="s390x",
    timeout_s=180,
    seconds=5,
    params=tuple(f"{way}-{how}" for way in WAYS for how in HOW),
)
def case_nvme_keeps_4_mib(mode: str) -> None:
    access, how = mode.split("-")
    with bound_to_vfio(NVME) as function:
        workload.keep_4_mib(function.address, access, how)


@case(guest="s390x", timeout_s=240, seconds=5, params=HOW)
def case_nvme_keeps_4_mib_by_memory_io_instructions(how: str) -> None:
    with bound_to_vfio(NVME) as function:
        executed = run_with_instructions("keep_4_mib", function.address, "mio", how)
    # Two doorbells for each command of at most 1 MiB: one for itself, one for its result.
    assert executed[STORE]["4"] >= 2 * 2 * workload.SIZE // workload.MIB, executed
    assert executed[LOAD]["4"] >= 2, executed  # CSTS before and after it is enabled
    assert set(executed[LOAD]) | set(executed[STORE]) <= {"4", "8"}, executed
