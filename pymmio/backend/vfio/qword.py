"""Whether this kernel makes one access of an 8-byte pread or pwrite on a BAR."""

from __future__ import annotations

import re

__all__ = ["is_one_access"]

# Linux commit 4df13a6871d9, "vfio/pci: Support 8-byte PCI loads and stores".
_FIRST = (6, 11, 0)
# x86 has CONFIG_GENERIC_IOMAP, where <asm/io.h> defines no ioread64; 2b938e3db335, "vfio/pci:
# Enable iowrite64 and ioread64 for vfio pci", brought the generic one, to stable trees too.
_FIRST_GENERIC_IOMAP = (6, 14, 0)
_STABLE_GENERIC_IOMAP = {(6, 12): 16, (6, 13): 4}

_OWN_IOREAD64 = frozenset({"aarch64", "riscv64", "s390x"})
_GENERIC_IOMAP = frozenset({"x86_64", "ppc64le"})  # ppc64le: not looked up, so the later one


def is_one_access(release: str, machine: str) -> bool:
    """Tell it from the kernel's release and machine name (``uname -r``, ``uname -m``).

    Kernels that cannot do it split silently and still return 8, so whatever is not known
    for certain counts as no.
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    if match is None:
        return False
    major, minor, patch = (int(part or 0) for part in match.groups())
    if machine in _OWN_IOREAD64:
        return (major, minor, patch) >= _FIRST
    if machine in _GENERIC_IOMAP:
        stable = _STABLE_GENERIC_IOMAP.get((major, minor))
        return (major, minor, patch) >= _FIRST_GENERIC_IOMAP or (
            stable is not None and patch >= stable
        )
    return False
