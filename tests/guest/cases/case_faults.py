"""Faults that tests inject, on real functions behind vfio-pci."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pymmio
from pymmio.device import Device
from pymmio.errors import AccessFault, DeviceGone, DeviceTimeout, DmaError, Unsupported
from pymmio.testing import faults
from pymmio.testing.faults import Fault, FaultPlan, nvme
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import CommandAborted, CommandTimeout, Controller, State
from tests.guest.case import case
from tests.guest.cases.vfio_common import open_descriptors, refuses
from tests.guest.inside import EDU, NVME, bound_to_vfio
from tests.guest.interfaces import by_interface, uri_of

SQ1_DOORBELL = 0x1008  # NVMe over PCIe 1.0 §3.1.2, CAP.DSTRD of 0


@contextmanager
def failing(ids: tuple[int, int], plan: FaultPlan | None = None) -> Iterator[Device]:
    with bound_to_vfio(ids) as function:
        before = open_descriptors()
        with faults.open_device(uri_of(function.address), plan) as device:
            yield device
        assert open_descriptors() == before


def works(controller: Controller) -> bool:
    namespace = controller.namespaces[1]
    namespace.write_bytes(b"alive".ljust(namespace.block_size), lba=0)
    return namespace.read_bytes(lba=0, blocks=1)[:5] == b"alive"


@by_interface(guests=("default",))
def case_registers_interrupts_and_mappings_of_edu_fail_as_planned() -> None:
    plan = FaultPlan(
        Fault.reads_as(0, offset=0, after=1), Fault.irq_lost(after=1), Fault.map_fails()
    )
    with failing(EDU, plan) as device:
        edu = Edu(device)
        assert device.region(0).read32(0) == 0
        assert edu.factorial(5, by_interrupt=True) == 120
        with refuses(DmaError, "injected"):
            edu.alloc()
        device.irqs.msi[0].try_take()
        device.region(0).write32(0x60, 1)  # QEMU docs/specs/edu.rst: raise an interrupt
        with refuses(DeviceTimeout):
            device.irqs.msi[0].wait(timeout_s=0.2)
        device.region(0).write32(0x64, 1)
        assert edu.factorial(4, by_interrupt=True) == 24
        assert [one.fault.what for one in faults.faults_of(device).log] == [
            "reads_as",
            "map_fails",
            "irq_lost",
        ]


@by_interface(guests=("default",))
@case(timeout_s=60)
def case_nvme_driver_survives_lost_doorbells_and_interrupts() -> None:
    with failing(NVME) as device:
        with Controller.open(device, timeout_s=1.0, abort_grace_s=0.5) as controller:
            faults.faults_of(device).add(Fault.irq_lost(count=3))
            assert works(controller)
            lost = Fault.write_lost(offset=SQ1_DOORBELL, length=4)
            faults.faults_of(device).add(lost)
            try:
                controller.namespaces[1].flush()
            except (CommandTimeout, CommandAborted):
                pass
            else:
                raise AssertionError("nothing was raised")
            assert works(controller)
            assert controller.state is State.READY


@by_interface(guests=("default",))
@case(timeout_s=60)
def case_nvme_that_is_reset_or_removed_at_work() -> None:
    with failing(NVME) as device:
        with Controller.open(device, timeout_s=1.0, abort_grace_s=0.5) as controller:
            faults.faults_of(device).add(Fault.reset(offset=SQ1_DOORBELL, length=4))
            try:
                controller.namespaces[1].flush()
            except (CommandTimeout, CommandAborted, AccessFault):
                pass
            else:
                raise AssertionError("nothing was raised")
            assert works(controller)
            faults.faults_of(device).add(Fault.removed())
            with refuses(DeviceGone):
                while True:
                    works(controller)
        assert device.dma.mapped_bytes == 0
    with bound_to_vfio(NVME) as function:
        with Controller.open(pymmio.open_device(uri_of(function.address))) as controller:
            assert works(controller)
            controller.device.close()


@by_interface(guests=("default",))
def case_what_a_real_device_does_to_memory_is_nobody_s_to_spoil() -> None:
    with bound_to_vfio(NVME) as function:
        before = open_descriptors()
        with refuses(Unsupported, "does not tell"):
            faults.open_device(uri_of(function.address), FaultPlan(nvme.completion_lost()))
        assert open_descriptors() == before
