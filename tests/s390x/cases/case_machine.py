"""The guest is what the other cases take it for."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import sys
from pathlib import Path

import pymmio
from pymmio.arch import pci_ways
from pymmio.handle import Access
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio, find_function
from tests.s390x.raw import mapped


@case(guest="s390x", timeout_s=60)
def case_big_endian_machine_of_this_project() -> None:
    assert platform.machine() == "s390x"
    assert sys.byteorder == "big"
    assert Path(__file__).is_relative_to("/project")
    assert os.geteuid() == 0


@case(guest="s390x", timeout_s=120)
def case_function_is_bound_to_vfio() -> None:
    function = find_function(NVME)
    assert function.address == "0001:00:00.0"  # the domain is the zPCI device's uid
    assert (function.path / "mio_enabled").read_text().strip() == "0"
    with bound_to_vfio(NVME) as bound:
        assert bound.driver == "vfio-pci"
        assert Path(f"/dev/vfio/{bound.iommu_group}").exists()


@case(guest="s390x", timeout_s=60)
def case_only_system_calls_reach_pci_memory() -> None:
    # AT_HWCAP bit 21, HWCAP_S390_PCI_MIO (Linux arch/s390/include/asm/elf.h).
    assert "pcimio" not in Path("/proc/cpuinfo").read_text()
    assert pci_ways() == (Access.SYSCALL,)


@case(guest="s390x", timeout_s=120)
def case_plain_load_ends_the_process() -> None:
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}") as device:
            source = device.handle.open_region(0).mmap_source()
            assert source is not None
            with mapped(source, device.regions[0].size) as base:
                pid = os.fork()
                if pid == 0:
                    signal.signal(signal.SIGILL, signal.SIG_DFL)
                    ctypes.c_uint32.from_address(base + 8).value
                    os._exit(0)
                _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGILL
