"""Ranges of physical memory through /dev/mem, where nobody else has them.

For memory that no PCI BAR and no driver leads to, such as the range of a virtio-pmem device.
Whose a range is comes from /proc/iomem and is looked at before anything is opened, and again
once it is mapped: a range of somebody else is refused by the owner's name, on every kernel,
also where the kernel itself would have let it pass.

Sources: Linux 6.12, drivers/char/mem.c, kernel/resource.c (iomem_is_exclusive),
arch/x86/mm/pat/memtype.c (phys_mem_access_prot_allowed).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack

from pymmio.backend.sysfs import refusals
from pymmio.backend.sysfs.function import HARMLESS_DRIVERS
from pymmio.backend.sysfs.iomem import Claim, Kind, claims_on, parse_iomem
from pymmio.backend.sysfs.machine import MACHINE, Machine
from pymmio.errors import (
    BadArgument,
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
)
from pymmio.handle import Access
from pymmio.mmio import PCI, AccessRule, MappedRegion
from pymmio.owner import Owner
from pymmio.policy import authorise
from pymmio.uri import DeviceUri

__all__ = ["PhysicalRange", "look_at_physical", "open_physical"]

DEVICE = "/dev/mem"
ADDRESS_BITS = 63  # what fits an offset of a file


class PhysicalRange(Owner):
    """A mapped range of physical memory; close it, or use it in a ``with`` statement.

    ``region`` reaches it: a device-like region, or plain memory with ``region.view()`` where it
    was opened ``cached``.  ``claims`` is what stood there in /proc/iomem.
    """

    def __init__(
        self,
        machine: Machine,
        start: int,
        region: MappedRegion,
        claims: Sequence[Claim],
        *,
        cached: bool,
        unlisted: bool,
    ) -> None:
        """Not for callers: use :func:`open_physical`."""
        self.start = start
        self.size = region.size
        self.region = region
        self.claims = tuple(claims)
        self.cached = cached
        self._machine = machine
        self._unlisted = unlisted

    def check_unowned(self) -> None:
        """Raise DeviceBusy if somebody has claimed the range since it was opened."""
        claims = _look(self._machine, self.start, self.size)
        _require_free(self._machine, claims, _said(self.start, self.size), self._unlisted)

    @property
    def closed(self) -> bool:
        """Whether it cannot be used any more."""
        return self.region.closed

    def close(self) -> None:
        """Unmap it; closing twice is fine.  Raises BufferBusy while a memoryview exists."""
        self.region.close()

    def __repr__(self) -> str:
        how = "cached" if self.cached else "uncached"
        state = ", closed" if self.closed else ""
        return f"<PhysicalRange {_said(self.start, self.size)}, {how}{state}>"


def look_at_physical(start: int, size: int, *, machine: Machine = MACHINE) -> tuple[Claim, ...]:
    """Return what stands at a range in /proc/iomem, in order; touches nothing.

    Raises PermissionRefused where the kernel hides it.
    """
    _check(start, size)
    return _look(machine, start, size)


def open_physical(
    start: int,
    size: int,
    *,
    cached: bool = False,
    writable: bool = True,
    unlisted: bool = False,
    rule: AccessRule | None = None,
    machine: Machine = MACHINE,
) -> PhysicalRange:
    """Map ``size`` bytes of physical memory at ``start``, which nobody owns.

    Not ``cached`` (O_SYNC) each access goes to the device: on x86 the mapping is uncached
    (UC-).  ``cached`` it is write-back, as memory is, where the machine's MTRRs allow it for
    these addresses, and uncached where they do not; ``region.view()`` then gives plain bytes.
    ``rule`` is the region's.

    Free are BARs of functions without a driver, and persistent memory that no driver has
    claimed.  Addresses that no line names, or a bus window without a device, are taken for
    nobody's only with ``unlisted``: by somebody who knows from elsewhere what is there, such as
    a device's own configuration.

    The policy is asked for ``devmem:START+SIZE`` (hexadecimal).  Raises PolicyRefused;
    DeviceBusy naming who owns the range, or System RAM; DeviceNotFound for what is not known;
    PermissionRefused where the kernel forbids it or hides whose it is; Unsupported on s390x for
    PCI memory, which has no addresses there.
    """
    _check(start, size)
    if rule is not None and rule.ram_like and not cached:
        raise BadArgument(
            "plain bytes of an uncached range: every load and store would go to the device",
            hint="Open it with cached=True, if it is memory",
        )
    authorise(DeviceUri("devmem", f"{start:#x}+{size:#x}"))
    said = _said(start, size)
    claims = _look(machine, start, size)
    _require_free(machine, claims, said, unlisted)
    if not machine.reaches_pci() and any(claim.function for claim in claims):
        raise Unsupported(
            f"{said}: PCI memory of s390x has no address for loads and stores",
            hint="Open the device with vfio:",
        )
    name = f"physical {said}"
    with ExitStack() as undo:
        fd = _open(machine, said, cached=cached, writable=writable)
        undo.callback(os.close, fd)
        try:
            mapping = machine.map(fd, start, size, name, writable=writable, access=Access.MAPPED)
        except PymmioError as error:
            raise _not_mapped(machine, error, said) from error
    plain = AccessRule(ram_like=True) if cached else PCI
    found = PhysicalRange(
        machine,
        start,
        MappedRegion(mapping, rule=rule or plain),
        claims,
        cached=cached,
        unlisted=unlisted,
    )
    try:
        found.check_unowned()  # a driver may have come between the look and the mapping
    except BaseException:
        found.close()
        raise
    return found


def _check(start: int, size: int) -> None:
    if size <= 0 or start < 0 or start + size > 1 << ADDRESS_BITS:
        raise BadArgument(
            f"{size:#x} bytes at {start:#x} are no physical addresses",
            hint=f"Give a size above 0 that ends within {ADDRESS_BITS} bits",
        )


def _look(machine: Machine, start: int, size: int) -> tuple[Claim, ...]:
    try:
        text = machine.read_text("/proc/iomem")
    except OSError as error:
        raise PermissionRefused(
            f"whose physical addresses are is not known: /proc/iomem: {refusals.reason(error)}",
            hint="Mount procfs; without it no range is opened",
        ) from error
    return claims_on(parse_iomem(text), start, start + size - 1)


def _require_free(machine: Machine, claims: Sequence[Claim], said: str, unlisted: bool) -> None:
    """Raise unless every part of the range is nobody's."""
    problems = [problem for claim in claims if (problem := _owner(machine, claim)) is not None]
    if problems:
        raise DeviceBusy(
            f"{said} is not free: {'; '.join(problems)}",
            hint="Unbind the driver that has it, or use the device that it makes of it",
        )
    unknown = [claim for claim in claims if claim.kind in (Kind.WINDOW, Kind.UNLISTED)]
    if unknown and not unlisted:
        parts = "; ".join(map(str, unknown))
        raise DeviceNotFound(
            f"{said}: nothing is known to be there: {parts}",
            hint="If a device's own configuration says that memory is there, say so with "
            "unlisted=True",
        )


def _owner(machine: Machine, claim: Claim) -> str | None:
    """Return who has a part of a range, None if nobody."""
    place = f"{claim.first:#x}-{claim.last:#x}"
    if claim.kind is Kind.RAM:
        return f"{claim.name} at {place} is the kernel's"
    if claim.kind is Kind.OWNED:
        where = f", in a BAR of {claim.function}" if claim.function else ""
        return f"{claim.name} has {place}{where}"
    if claim.function is None:
        return None
    # A driver that maps a BAR without claiming it leaves no line: ask who has the device.
    driver = machine.link_name(f"/sys/bus/pci/devices/{claim.function}/driver")
    if driver is None or driver in HARMLESS_DRIVERS:
        return None
    return f"the driver {driver} has {claim.function}, whose BAR {place} is"


def _open(machine: Machine, said: str, *, cached: bool, writable: bool) -> int:
    flags = (os.O_RDWR if writable else os.O_RDONLY) | (0 if cached else os.O_SYNC)
    try:
        return machine.open(DEVICE, flags)
    except OSError as error:
        what = f"{said}: {DEVICE}: {refusals.reason(error)}"
        if error.errno in (errno.ENOENT, errno.ENXIO):
            raise Unsupported(
                what, hint="This kernel (CONFIG_DEVMEM) or container has no /dev/mem"
            ) from error
        refusal = refusals.locked_down(machine, said) if error.errno == errno.EPERM else None
        raise refusal or PermissionRefused(
            what, hint="It takes root with CAP_SYS_RAWIO, which containers are not given"
        ) from error


def _not_mapped(machine: Machine, error: PymmioError, said: str) -> PymmioError:
    refusal = refusals.locked_down(machine, said)
    if refusal is not None:
        return refusal
    if isinstance(error, PermissionRefused):
        return PermissionRefused(
            f"{said}: {DEVICE} cannot be mapped: {error.message}",
            hint="The kernel (CONFIG_STRICT_DEVMEM, CONFIG_IO_STRICT_DEVMEM) says that somebody "
            "has it; `dmesg` names the program and the range. Or it is no root with CAP_SYS_RAWIO",
        )
    return Unsupported(
        f"{said}: {DEVICE} cannot be mapped: {error.message}",
        hint="The addresses may be beyond what the processor has, or mapped by somebody with "
        "another kind of caching (`dmesg`: conflicting memory types)",
    )


def _said(start: int, size: int) -> str:
    return f"{start:#x}-{start + size - 1:#x}"
