"""What an access to PCI memory that failed on s390x says: condition code, status, errno.

The instructions are those of zPCI; condition codes and status bytes are named in QEMU 10
``include/hw/s390x/s390-pci-inst.h`` ("Load/Store return codes", "Load/Store status codes").
The errnos are those of the system calls 352 and 353 (Linux ``arch/s390/pci/pci_mmio.c``), with
the causes that were seen on a mapping of a BAR.
"""

from __future__ import annotations

import errno
import os

__all__ = ["of_condition_code", "of_errno"]

_CONDITIONS = {
    1: "the access was refused",
    2: "the function is busy",
    3: "there is no such function any more (invalid handle)",
}

_STATUS = {
    4: "the function is not enabled",
    8: "the function is in error state",
    12: "loads and stores are blocked",
    16: "resources are lacking",
    20: "the address space is not valid",
    28: "the DMA address space is not enabled",
    36: "the source lies in an invalid address space",
    40: "the function is not available",
    44: "already in the requested state",
}

_ERRNOS = {
    errno.ENXIO: "the device does not take such an access at this offset",
    errno.EINVAL: "no PCI memory answers there: decoding is off, unmapped, or past the end",
    errno.EACCES: "the mapping does not allow it",
    errno.EFAULT: "the buffer of the core is not accessible",
    errno.EIO: "the function refused the access",
    errno.ENODEV: "there is no such function any more",
    errno.ENOSYS: "this kernel lacks the system calls: it was built without PCI",
    errno.EPERM: "the system call is not permitted here (a seccomp filter?)",
}


def of_condition_code(cc: int, status: int | None) -> str:
    """Return "condition code 1, status 8: ..."; ``status`` is None where only the cc is known."""
    said = f"condition code {cc}"
    meaning = _CONDITIONS.get(cc, "unknown")
    if status is not None:
        said += f", status {status}"
        meaning = _STATUS.get(status, meaning)
    return f"{said}: {meaning}"


def of_errno(number: int) -> str:
    """Return "EINVAL: ..."."""
    name = errno.errorcode.get(number, f"errno {number}")
    return f"{name}: {_ERRNOS.get(number, os.strerror(number))}"
