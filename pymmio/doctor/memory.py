"""Memory for DMA: how much may be locked, and huge pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pymmio.doctor.finding import Finding, State
from pymmio.doctor.host import Host
from pymmio.pci.bars import format_size

__all__ = ["TOPIC", "hugepages", "memlock"]

TOPIC = "memory"

ENOUGH_BYTES = 64 << 20
"""Free below the limit: what programs with a few queues and buffers take."""

LEAST_BYTES = 1 << 20
"""What the NVMe driver maps when it opens a controller, rounded up."""

_CAP_IPC_LOCK = 14  # capabilities(7)
_HUGEPAGES = "/sys/kernel/mm/hugepages"


def memlock(host: Host) -> Iterator[Finding]:
    """Yield how much memory devices of this process may reach."""
    limit = _memlock_limit(host)
    locked = _kibibytes(host.status.get("VmLck", "0 kB"))
    if int(host.status.get("CapEff", "0"), 16) >> _CAP_IPC_LOCK & 1:
        seen = "no limit: this process has CAP_IPC_LOCK"
        yield Finding(TOPIC, "memlock", State.OK, seen, needed_for=("vfio",))
        return
    if limit is None:
        yield Finding(TOPIC, "memlock", State.OK, "no limit", needed_for=("vfio",))
        return
    free = max(0, limit - locked)
    seen = f"{format_size(limit)}, {format_size(locked)} in use"
    if free >= ENOUGH_BYTES:
        yield Finding(TOPIC, "memlock", State.OK, seen, needed_for=("vfio",))
        return
    state = State.WARN if free >= LEAST_BYTES else State.MISSING
    step = "pymmio setup-user prints what root runs once; then log in again"
    yield Finding(TOPIC, "memlock", state, seen, step, needed_for=("vfio",))


def hugepages(host: Host) -> Iterator[Finding]:
    """Yield the pools of huge pages; nothing but no-IOMMU mode and what asks for them needs any."""
    names = host.listed(_HUGEPAGES)
    if not names:
        yield Finding(TOPIC, "huge pages", State.INFO, "this kernel has none")
        return
    pools = []
    for name in names:
        match = re.fullmatch(r"hugepages-(\d+)kB", name)
        if match is not None:
            total = int(host.read_text(f"{_HUGEPAGES}/{name}/nr_hugepages"))
            free = int(host.read_text(f"{_HUGEPAGES}/{name}/free_hugepages"))
            pools.append((int(match[1]) << 10, free, total))
    seen = ", ".join(
        f"{free} of {total} free of {format_size(size)}" for size, free, total in sorted(pools)
    )
    if any(free for _, free, _ in pools):
        yield Finding(TOPIC, "huge pages", State.OK, seen)
        return
    step = "Where a program asks for them, as root: sysctl vm.nr_hugepages=N"
    yield Finding(TOPIC, "huge pages", State.INFO, seen, step)


def _memlock_limit(host: Host) -> int | None:
    """Return the soft limit in bytes, None where there is none (proc(5), /proc/PID/limits)."""
    for line in host.read_text("/proc/self/limits").splitlines():
        match = re.match(r"Max locked memory\s+(\S+)", line)
        if match is not None:
            return None if match[1] == "unlimited" else int(match[1])
    raise LookupError("/proc/self/limits does not tell the limit of locked memory")


def _kibibytes(text: str) -> int:
    return int(text.split()[0]) << 10
