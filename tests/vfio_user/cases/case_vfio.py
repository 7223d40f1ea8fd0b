"""pymmio's drivers on pymmio's models: through VFIO, the guest's IOMMU, QEMU and vfio-user."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pymmio
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from tests.guest.case import case
from tests.guest.inside import EDU, NVME, bound_to_vfio
from tests.guest.interfaces import by_interface, uri_of
from tests.vfio_user.asking import ask
from tests.vfio_user.cases.disk import MIB, SIZE, digest, pattern

HERE = ("vfio-user",)


@contextmanager
def _nvme(how: str) -> Iterator[Controller]:
    with bound_to_vfio(NVME) as function:
        interrupts = None if how == "polling" else how
        with Controller.open(uri_of(function.address), interrupts=interrupts) as ctrl:  # type: ignore[arg-type]
            yield ctrl


@by_interface(guests=HERE)
@case(timeout_s=60, params=("polling", "msix", "intx"))
def case_nvme_writes_and_reads(how: str) -> None:
    data = pattern(len(how), 4 * MIB)
    with _nvme(how) as ctrl:
        assert ctrl.interrupts == how
        ns = ctrl.namespaces[1]
        assert ns.size == SIZE
        with ctrl.alloc(len(data)) as buffer:
            _fill(buffer, data)
            ns.write(buffer, lba=20 * MIB // 512)
            ns.flush()
            _fill(buffer, bytes(len(data)))
            ns.read(buffer, lba=20 * MIB // 512)
            assert bytes(buffer) == data
        # QEMU takes the BAR's mapping away at each interrupt of the pin: slow, so few.
        count = 10 if how == "intx" else 100
        begin = monotonic()
        for lba in range(count):
            ns.read_bytes(lba=lba, blocks=8)
        print(f"4 KiB read: {(monotonic() - begin) / count * 1e6:.0f} us each")
    assert ask("digest", 20 * MIB, len(data)) == digest(data)


@by_interface("cdev", guests=HERE)
@case(timeout_s=60, params=("polling", "msi"))
def case_edu_computes_and_copies(how: str) -> None:
    by_interrupt = how == "msi"
    size = 4092
    with bound_to_vfio(EDU) as function, Edu.open(uri_of(function.address)) as edu:
        for number in (0, 5, 12, 13, 30):
            found = edu.factorial(number, by_interrupt=by_interrupt)
            assert found == math.factorial(number) % 2**32, number
        with edu.alloc(size) as source, edu.alloc(size) as target:
            _fill(source, pattern(7, size))
            edu.copy_in(source, by_interrupt=by_interrupt)
            edu.copy_out(target, by_interrupt=by_interrupt)
            assert bytes(target) == pattern(7, size)


@case(timeout_s=60, guest=HERE)
def case_a_register_costs_a_message() -> None:
    with bound_to_vfio(EDU) as function:
        with pymmio.open_device(uri_of(function.address)) as device:
            bar = device.region(0)
            begin = monotonic()
            for _ in range(500):
                assert bar.read32(0) == 0x010000ED
            print(f"4 bytes of a register: {(monotonic() - begin) / 500 * 1e6:.0f} us")


def _fill(buffer: object, data: bytes) -> None:
    with memoryview(buffer) as view:  # type: ignore[arg-type]
        view[:] = data
