"""The contract of backends, through real vfio-pci, in every way of access that it has."""

from __future__ import annotations

from tests.contract.suite import SUITE
from tests.guest.case import case
from tests.guest.inside import EDU, bound_to_vfio

CHECKS = {check.__name__: check for check in SUITE}


@case(timeout_s=60, params=tuple(CHECKS))
def case_vfio_group(name: str) -> None:
    with bound_to_vfio(EDU) as function:
        CHECKS[name](f"vfio:{function.address}?interface=group")
