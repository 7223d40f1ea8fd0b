"""The edu driver on QEMU's device, behind an IOMMU, by real vfio-pci."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from pymmio_drivers.edu import Edu
from tests.guest.case import case
from tests.guest.inside import EDU, bound_to_vfio
from tests.guest.interfaces import by_interface, uri_of


@contextmanager
def _edu() -> Iterator[Edu]:
    with bound_to_vfio(EDU) as function, Edu.open(uri_of(function.address)) as edu:
        yield edu


@by_interface()
def case_edu_is_identified_and_alive() -> None:
    with _edu() as edu:
        assert edu.version == (1, 0)
        assert edu.is_alive()


@by_interface()
@case(params=("polling", "msi"))
def case_edu_computes_factorials(how: str) -> None:
    with _edu() as edu:
        for number in (0, 5, 12, 13, 30):
            found = edu.factorial(number, by_interrupt=how == "msi")
            assert found == math.factorial(number) % 2**32, number
        if how == "msi":
            assert edu.device.irqs.msi.enabled == 1


@by_interface()
@case(params=("polling", "msi"))
def case_edu_copies_memory_both_ways(how: str) -> None:
    by_interrupt = how == "msi"
    # QEMU 7.2 ends itself when a transfer touches the last byte of the device's memory.
    size = 4092
    with _edu() as edu, edu.alloc(size) as source, edu.alloc(size) as target:
        with memoryview(source) as view:
            view[:] = (bytes(range(256)) * 16)[:size]
        edu.copy_in(source, by_interrupt=by_interrupt)
        edu.copy_out(target, by_interrupt=by_interrupt)
        assert bytes(target) == bytes(source)
        edu.copy_out(target[8:16], 100, by_interrupt=by_interrupt)
        assert bytes(target)[:24] == bytes(range(8)) + bytes(range(100, 108)) + bytes(range(16, 24))
