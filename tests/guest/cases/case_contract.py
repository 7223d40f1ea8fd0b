"""The contract of backends, through real vfio-pci, in every way of access that it has."""

from __future__ import annotations

from tests.contract.shared import SHARED
from tests.contract.suite import SUITE
from tests.guest.case import case
from tests.guest.inside import EDU, bind_vfio, bound_to_vfio, find_functions, give_back
from tests.guest.interfaces import by_interface, uri_of

CHECKS = {check.__name__: check for check in SUITE}
SHARED_CHECKS = {check.__name__: check for check in SHARED}


@by_interface()
@case(timeout_s=60, params=tuple(CHECKS))
def case_vfio(name: str) -> None:
    with bound_to_vfio(EDU) as function:
        CHECKS[name](uri_of(function.address))


@by_interface(guests=("shared",))
@case(timeout_s=60, params=tuple(SHARED_CHECKS))
def case_vfio_shared(name: str) -> None:
    functions = find_functions(EDU)
    try:
        for function in functions:
            bind_vfio(function)
        SHARED_CHECKS[name](*(uri_of(function.address) for function in functions))
    finally:
        for function in functions:
            give_back(function)
