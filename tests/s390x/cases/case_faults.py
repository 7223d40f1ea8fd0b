"""Accesses that fail raise what they raise on x86, with what s390x said as the cause."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pymmio
from pymmio.errors import (
    AccessError,
    AccessFault,
    Closed,
    Misaligned,
    OutOfBounds,
    ReadOnly,
    Unsupported,
)
from pymmio.handle import Access
from pymmio.mmio import MappedRegion, Mapping, Region
from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.s390x.instructions import CALLS, LOAD, STORE, run_preloaded

WAYS = ("syscall", "pread")
REGISTERS, MEMORY = 0, 2  # BARs
MEM = 1 << 1  # PCI Local Bus 3.0 §6.2.2: COMMAND, memory space
WIDTHS = (1, 2, 4, 8)


def _raised(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def _both(region: Region, offset: int, width: int) -> tuple[type | None, type | None]:
    read = _raised(lambda: region.read(offset, width))
    write = _raised(lambda: region.write(offset, width, 0))
    return (read and type(read), write and type(write))  # type: ignore[return-value]


@case(guest="s390x", timeout_s=120, seconds=4, params=WAYS)
def case_places_that_no_access_may_go_to(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}", access=access) as device:
            region = device.region(MEMORY)
            size = region.size
            for width in WIDTHS[1:]:
                for offset in range(1, width):  # unaligned; some of them cross 8 bytes
                    assert _both(region, offset, width) == (Misaligned, Misaligned)
                # They would cross 8 bytes, and a page.
                assert _both(region, 8 - width // 2, width) == (Misaligned, Misaligned)
                assert _both(region, 4096 - width // 2, width) == (Misaligned, Misaligned)
                assert _both(region, size - width // 2, width) == (OutOfBounds, OutOfBounds)
            for width in WIDTHS:
                assert _both(region, size, width) == (OutOfBounds, OutOfBounds)
                assert _both(region, size - width, width) == (None, None)
        # The device is closed.
        assert _both(region, 0, 4) == (Closed, Closed)


@case(guest="s390x", timeout_s=120, seconds=4, params=WAYS)
def case_memory_decoding_is_off(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}", access=access) as device:
            region = device.region(REGISTERS)
            device.config.update_command(off=MEM)
            for call in (lambda: region.read32(8), lambda: region.write32(0x14, 0)):
                error = _raised(call)
                assert isinstance(error, AccessFault), repr(error)
                assert (error.offset, error.width) in ((8, 4), (0x14, 4))
                assert isinstance(error.__cause__, OSError), repr(error.__cause__)
                if access == "syscall":
                    assert error.__cause__.errno == errno.EINVAL
                    assert "EINVAL" in str(error)
                assert "COMMAND" in str(error)
            device.config.update_command(on=MEM)
            assert region.read32(8) == 0x0001_0400


@case(guest="s390x", timeout_s=120, seconds=4)
def case_mapping_that_is_only_readable() -> None:
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}") as device:
            fd, offset = device.handle.open_region(MEMORY).mmap_source() or (-1, 0)
            size = device.regions[MEMORY].size
            mapping = Mapping.of_file(
                fd, offset, size, "read-only", writable=False, access=Access.SYSCALL
            )
            try:
                region = MappedRegion(mapping)
                region.read32(0)
                error = _raised(lambda: region.write32(0, 1))
                assert isinstance(error, AccessError), repr(error)
                if not isinstance(error, ReadOnly):  # the guard said nothing: the kernel did
                    assert isinstance(error, AccessFault), repr(error)
                    assert isinstance(error.__cause__, OSError)
                    assert error.__cause__.errno == errno.EACCES
            finally:
                mapping.close()


@case(guest="s390x", timeout_s=120, seconds=4, params=("mapped", "mio"))
def case_ways_that_this_machine_does_not_have(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}", access=access) as device:
            error = _raised(lambda: device.region(REGISTERS))
            assert isinstance(error, Unsupported), repr(error)
            assert "syscall" in str(error), str(error)


@case(guest="s390x", timeout_s=120, seconds=4)
def case_device_memory_is_no_buffer() -> None:
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}") as device:
            region = device.region(MEMORY, rule=pymmio.AccessRule(ram_like=True))
            assert isinstance(_raised(region.view), Unsupported)
            assert _raised(lambda: memoryview(region)) is not None  # type: ignore[arg-type]


@case(guest="s390x", timeout_s=300, seconds=4, params=("mio", "syscall"))
def case_what_the_machine_says_is_the_cause(access: str) -> None:
    # Condition codes, status bytes and errnos that this machine never has, before a real device.
    with bound_to_vfio(NVME) as function:
        executed = run_preloaded("fail_as_told", function.address, access)
    used, unused = ({LOAD, STORE}, set(CALLS)) if access == "mio" else (set(CALLS), {LOAD, STORE})
    assert all(executed[name] for name in used), executed
    assert not any(executed[name] for name in unused), executed


@case(guest="s390x", timeout_s=300, seconds=4, params=("mio", "syscall"))
def case_a_doorbell_that_fails_ends_its_command_and_the_controller_comes_back(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        run_preloaded("fail_a_doorbell", function.address, access)
