"""The contract of backends over zPCI by real vfio-pci, on a big-endian machine.

The machine has no edu: an NVMe controller with a memory buffer shows it.  All groups go by the
best way; registers and rules by each.
"""

from __future__ import annotations

from tests.contract.backends import VFIO_S390X
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.s390x import workload
from tests.s390x.instructions import CALLS, LOAD, STORE, run_preloaded

DEVICE = "nvme-cmb"
GROUPS = tuple(VFIO_S390X.groups(DEVICE))


@case(guest="s390x", timeout_s=900, seconds=9, params=GROUPS)
def case_the_contract(group: str) -> None:
    with bound_to_vfio(NVME) as function:
        workload.contract(function.address, "auto", group)


@case(guest="s390x", timeout_s=400, seconds=9, params=("regions", "rules"))
def case_the_contract_by_pread(group: str) -> None:
    with bound_to_vfio(NVME) as function:
        workload.contract(function.address, "pread", group)


@case(guest="s390x", timeout_s=600, seconds=14, params=("regions", "rules"))
def case_the_contract_by_memory_io_instructions(group: str) -> None:
    with bound_to_vfio(NVME) as function:
        executed = run_preloaded("contract", function.address, "mio", group)
    # One promise is about the other ways; all else must have gone this one.
    calls = sum(times for call in CALLS for times in executed[call].values())
    assert sum(executed[LOAD].values()) > 10 * calls, executed
    assert sum(executed[STORE].values()) > 10 * calls, executed
