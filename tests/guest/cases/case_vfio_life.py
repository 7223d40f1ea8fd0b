"""From open to close and beyond: descriptors, forks, memory-enable, SIGKILL."""

from __future__ import annotations

import mmap
import os

import pymmio
from pymmio.backend import vfio
from pymmio.errors import AccessFault, Closed, DeviceBusy, ForkedObject
from pymmio.handle import Iova
from pymmio.pci import Command
from pymmio.uri import DeviceUri
from tests.guest.cases.vfio_common import (
    holding,
    in_child,
    nodes_of,
    open_descriptors,
    open_handle,
    refuses,
)
from tests.guest.inside import EDU, NVME, bound_to_vfio
from tests.guest.interfaces import by_interface, interface, uri_of

EDU_ID = 0x010000ED  # QEMU docs/specs/edu.rst
IRQ_RAISE, IRQ_ACK = 0x60, 0x64


@by_interface()
def case_open_and_close_leave_no_descriptor() -> None:
    before = open_descriptors()
    with bound_to_vfio(EDU) as function:
        for _ in range(3):
            with open_handle(function.address) as handle:
                names = open_descriptors()
                shared = "/dev/vfio/vfio" if interface() == "group" else "/dev/iommu"
                assert {*nodes_of(function), shared} <= set(names)
                fd = handle.open_region(0).device.fd
                assert not os.get_inheritable(fd)
            assert open_descriptors() == before


@by_interface()
def case_use_after_close() -> None:
    with bound_to_vfio(EDU) as function:
        with open_handle(function.address) as handle:
            region = handle.open_region(0)
        with refuses(Closed):
            region.read(0, 4)
        with refuses(Closed):
            handle.reset()
        with refuses(Closed):
            handle.dma.unmap(Iova(0), 4096)


@by_interface()
def case_a_forked_child_refuses_and_the_parent_goes_on() -> None:
    def child() -> None:
        with refuses(ForkedObject):
            region.read(0, 4)
        with refuses(ForkedObject):
            handle.reset()
        handle.close()

    with bound_to_vfio(EDU) as function, open_handle(function.address) as handle:
        region = handle.open_region(0)
        in_child(child)
        assert region.read(0, 4) == EDU_ID


@by_interface()
def case_a_child_that_lives_on_does_not_keep_the_device() -> None:
    with bound_to_vfio(EDU) as function:
        with open_handle(function.address) as handle:
            with holding(lambda: True):
                handle.close()
                with open_handle(function.address):
                    pass


@by_interface()
def case_a_child_that_lives_on_does_not_keep_a_mapped_device() -> None:
    with bound_to_vfio(EDU) as function:
        uri = uri_of(function.address)
        with pymmio.open_device(uri) as edu:
            assert edu.region(0).read32(0) == EDU_ID
            edu.irqs.msi.enable(1)
            buf = edu.dma.alloc(1 << 16)
            with holding(lambda: True):
                buf.close()
                edu.close()
                with pymmio.open_device(uri) as again:
                    assert again.region(0).read32(0) == EDU_ID


@by_interface()
def case_a_mapping_that_is_left_over_is_told_at_close() -> None:
    with bound_to_vfio(EDU) as function:
        handle = vfio.open(DeviceUri.parse(uri_of(function.address)))
        source = handle.open_region(0).mmap_source()
        assert source is not None
        fd, offset = source
        mapping = mmap.mmap(fd, 4096, offset=offset)
        with refuses(DeviceBusy, "mapping of one of its regions"):
            handle.close()
        mapping.close()
        with open_handle(function.address):
            pass


@by_interface()
def case_memory_enable_off_is_a_fault_and_on_again_works() -> None:
    with bound_to_vfio(EDU) as function:
        for access in ("mapped", "pread"):
            with pymmio.open_device(uri_of(function.address), access=access) as edu:
                bar = edu.region(0)
                assert bar.read32(0) == EDU_ID
                edu.config.update_command(off=Command.MEMORY)
                with refuses(AccessFault, "0x0"):
                    bar.read32(0)
                with refuses(AccessFault, "0x4"):
                    bar.write32(0x04, 1)
                edu.config.update_command(on=Command.MEMORY)
                assert bar.read32(0) == EDU_ID


@by_interface()
def case_after_sigkill_the_next_run_takes_the_device() -> None:
    def use(uri: str) -> object:
        dev = pymmio.open_device(uri)
        dev.region(0).read32(0)
        dev.enable_bus_master()
        buf = dev.dma.alloc(1 << 20)
        dev.irqs.msi.enable(1)
        dev.region(0).write32(IRQ_RAISE, 1)
        return dev, buf

    with bound_to_vfio(EDU) as function:
        uri = uri_of(function.address)
        for _ in range(2):
            with holding(lambda: use(uri)):
                pass
        with pymmio.open_device(uri) as edu:
            assert edu.region(0).read32(0) == EDU_ID
            assert not edu.config.command & Command.BUS_MASTER
            edu.region(0).write32(IRQ_ACK, 0xFFFF_FFFF)  # nothing resets an edu


@by_interface()
def case_after_sigkill_nvme_is_taken_and_given_back_to_the_kernel() -> None:
    def use(uri: str) -> object:
        dev = pymmio.open_device(uri)
        dev.enable_bus_master()
        buf = dev.dma.alloc(1 << 16)
        dev.irqs.msix.enable(2)
        return dev, buf

    with bound_to_vfio(NVME) as function:
        with holding(lambda: use(uri_of(function.address))):
            pass
        with pymmio.open_device(uri_of(function.address)) as nvme:
            assert nvme.region(0).read32(0x08) >> 16 == 1  # VS, major version
    assert function.driver == "nvme"
