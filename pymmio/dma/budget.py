"""Check beforehand that the machine and the user allow as much DMA memory as is asked for.

The kernel's own refusals come late and say little: ENOMEM for the memlock limit, the
out-of-memory killer for the rest.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pymmio.errors import BudgetExceeded

__all__ = ["Budget", "MemoryFacts", "read_memory_facts"]

_CAP_IPC_LOCK = 14  # capabilities(7); linux/capability.h


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What the machine has and allows.  Sizes in bytes; None: no limit, or not known."""

    memlock_limit: int | None = None  #: RLIMIT_MEMLOCK; None also with CAP_IPC_LOCK
    locked: int = 0  #: what the kernel already counts against it (VmLck)
    available: int | None = None  #: MemAvailable
    hugepage_size: int = 0  #: the default huge page; 0: this kernel has none
    hugepages_free: int = 0  #: huge pages that nobody has or has reserved


def read_memory_facts(proc: Path = Path("/proc")) -> MemoryFacts:
    """Read the facts of this process and machine from the kernel (proc(5), getrlimit(2))."""
    memory = _fields(proc / "meminfo")
    status = _fields(proc / "self" / "status")
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    may_lock_all = int(status.get("CapEff", "0"), 16) >> _CAP_IPC_LOCK & 1
    unlimited = soft_limit == resource.RLIM_INFINITY or bool(may_lock_all)
    reserved = _number(memory.get("HugePages_Rsvd"))
    return MemoryFacts(
        memlock_limit=None if unlimited else soft_limit,
        locked=_kibibytes(status.get("VmLck")) or 0,
        available=_kibibytes(memory.get("MemAvailable")),
        hugepage_size=_kibibytes(memory.get("Hugepagesize")) or 0,
        hugepages_free=max(0, _number(memory.get("HugePages_Free")) - reserved),
    )


@dataclass(frozen=True, slots=True)
class Budget:
    """How much DMA memory a program may hold: ``limit_bytes``, and what the machine allows.

    ``facts`` tells about the machine; another function than the default is for tests.
    """

    limit_bytes: int | None = None
    facts: Callable[[], MemoryFacts] = read_memory_facts

    def check(
        self,
        size: int,
        *,
        held: int,
        pins_memory: bool,
        facts: MemoryFacts,
        hugepages: bool = False,
    ) -> None:
        """Raise BudgetExceeded if ``size`` more bytes beside the ``held`` ones are too many.

        ``pins_memory`` tells that the memory counts against RLIMIT_MEMLOCK.
        """
        if self.limit_bytes is not None and held + size > self.limit_bytes:
            raise BudgetExceeded(
                f"{size} bytes of DMA memory do not fit the budget of {self.limit_bytes} bytes,"
                f" {held} of which are in use",
                hint="Close buffers, or give DmaSpace a larger budget",
            )
        if pins_memory:
            _check_memlock(size, held, facts)
        if hugepages:
            _check_hugepages(size, facts)
        elif facts.available is not None and size > facts.available:
            raise BudgetExceeded(
                f"{size} bytes of DMA memory were asked for and this machine has"
                f" {facts.available} bytes available (MemAvailable in /proc/meminfo)",
                hint="Ask for less, or stop other programs",
            )


def _check_hugepages(size: int, facts: MemoryFacts) -> None:
    if size > facts.hugepages_free * facts.hugepage_size:
        raise BudgetExceeded(
            f"{size // facts.hugepage_size} huge pages of {facts.hugepage_size} bytes were asked"
            f" for and {facts.hugepages_free} are free",
            hint="As root set a larger pool: sysctl vm.nr_hugepages=N, counting those in use",
        )


def _check_memlock(size: int, held: int, facts: MemoryFacts) -> None:
    if facts.memlock_limit is None:
        return
    # type1 counts pinned pages in VmLck, iommufd does not: the larger is nearer the truth.
    locked = max(held, facts.locked)
    if locked + size > facts.memlock_limit:
        wanted_kib = -(-(locked + size) // 1024)
        raise BudgetExceeded(
            f"{size} bytes of DMA memory would be locked; the limit (RLIMIT_MEMLOCK) is"
            f" {facts.memlock_limit} bytes, {locked} of which are in use",
            hint=f"Run `ulimit -l {wanted_kib}` before, or put `USER - memlock {wanted_kib}`"
            " into /etc/security/limits.conf and log in again",
        )


def _fields(path: Path) -> dict[str, str]:
    """Return the ``Name: value`` lines of a file of /proc; empty where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}  # no /proc here: nothing is known beforehand, the kernel still refuses later
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _number(text: str | None) -> int:
    return int(text) if text else 0


def _kibibytes(text: str | None) -> int | None:
    return int(text.split()[0]) * 1024 if text else None
