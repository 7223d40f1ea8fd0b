"""Whose a range of physical addresses is, by what /proc/iomem says.  Pure: texts in, answers out.

Sources: Linux 6.12, kernel/resource.c (the format: two spaces a level, addresses 0 for who lacks
CAP_SYS_ADMIN), arch/x86/kernel/e820.c (names), drivers/nvdimm, drivers/pci.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pymmio.errors import PermissionRefused, ProtocolError

__all__ = ["Claim", "Kind", "Resource", "claims_on", "parse_iomem"]

_LINE = re.compile(r"^(?P<indent> *)(?P<first>[0-9a-f]+)-(?P<last>[0-9a-f]+) : (?P<name>.*)$")
_BUS = re.compile(r"^PCI Bus [0-9a-f:]+( .*)?$|^PCI Window.*$|^CXL Window.*$", re.IGNORECASE)
_FUNCTION = re.compile(r"^(?P<address>[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$")
_PERSISTENT = re.compile(r"^Persistent Memory( \(legacy\))?$")
_RAM = re.compile(r"^(System RAM|Crash kernel|Kernel (code|data|rodata|bss)|RAM buffer)")


class Kind(enum.StrEnum):
    """What stands at a part of a range."""

    RAM = "System RAM"  #: memory that the kernel gives to everybody
    OWNED = "owned"  #: a driver or the firmware has it, by name
    FUNCTION = "BAR"  #: a BAR of a PCI function that no driver has claimed
    PERSISTENT = "persistent memory"  #: persistent memory that no driver has claimed
    WINDOW = "bus window"  #: a bus's addresses, of no device
    UNLISTED = "unlisted"  #: no line names it


@dataclass(frozen=True, slots=True)
class Resource:
    """A line: first and last address inclusive, its name, the lines inside it."""

    first: int
    last: int
    name: str
    children: list[Resource] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Claim:
    """A part of a range, first and last inclusive, and what stands there.

    ``name`` is the innermost line that says so, "" where none does.  ``function`` is the PCI
    address where it lies in a function's BAR.
    """

    first: int
    last: int
    kind: Kind
    name: str = ""
    function: str | None = None

    def __str__(self) -> str:
        what = self.kind if self.kind in (Kind.UNLISTED, Kind.RAM) else f"{self.kind} {self.name}"
        return f"{self.first:#x}-{self.last:#x} ({what})"


def parse_iomem(text: str) -> tuple[Resource, ...]:
    """Return the top lines of /proc/iomem with what they contain.

    Raises PermissionRefused where the kernel hides the addresses, ProtocolError for what is not
    of that form.
    """
    top: list[Resource] = []
    open_lines: list[Resource] = []
    count = 0
    for number, line in enumerate(text.splitlines(), start=1):
        found = _LINE.match(line)
        if found is None:
            raise ProtocolError(f"/proc/iomem: line {number} is {line[:80]!r}")
        level, rest = divmod(len(found["indent"]), 2)
        resource = Resource(int(found["first"], 16), int(found["last"], 16), found["name"])
        if rest or level > len(open_lines) or resource.last < resource.first:
            raise ProtocolError(f"/proc/iomem: line {number} is {line[:80]!r}")
        del open_lines[level:]
        (open_lines[-1].children if open_lines else top).append(resource)
        open_lines.append(resource)
        count += 1
    if not any(_any_address(resource) for resource in top):
        what = "hides the addresses in it" if count else "shows nothing in it"
        raise PermissionRefused(
            f"whose physical addresses are is not known: /proc/iomem {what}",
            hint="The kernel shows them to CAP_SYS_ADMIN only: run as root (in the machine's own "
            "user namespace)",
        )
    return tuple(top)


def claims_on(resources: Sequence[Resource], first: int, last: int) -> tuple[Claim, ...]:
    """Return what stands at ``first`` to ``last`` inclusive, in order, without gaps.

    A line named after a bus, a PCI function or persistent memory contains and does not own;
    every other line does, with all that is inside it.
    """
    found = list(_claims(resources, first, last, Claim(first, last, Kind.UNLISTED)))
    merged: list[Claim] = []
    for claim in found:
        before = merged[-1] if merged else None
        if before is not None and _same(before, claim) and before.last + 1 == claim.first:
            merged[-1] = Claim(before.first, claim.last, claim.kind, claim.name, claim.function)
        else:
            merged.append(claim)
    return tuple(merged)


def _claims(resources: Sequence[Resource], first: int, last: int, around: Claim) -> Iterator[Claim]:
    """Yield the claims on a range inside a line; ``around`` says what stands beside its lines."""
    at = first
    for resource in sorted(resources, key=lambda one: one.first):
        begin, end = max(at, resource.first), min(last, resource.last)
        if begin > end:
            continue
        if at < begin:
            yield Claim(at, begin - 1, around.kind, around.name, around.function)
        inside = _meaning(resource, around, begin, end)
        if inside.kind in (Kind.RAM, Kind.OWNED):
            yield inside
        else:
            yield from _claims(resource.children, begin, end, inside)
        at = end + 1
    if at <= last:
        yield Claim(at, last, around.kind, around.name, around.function)


def _meaning(resource: Resource, around: Claim, first: int, last: int) -> Claim:
    name = resource.name
    if _RAM.match(name):
        return Claim(first, last, Kind.RAM, name, around.function)
    if function := _FUNCTION.match(name):
        return Claim(first, last, Kind.FUNCTION, name, function["address"])
    if _PERSISTENT.match(name):
        return Claim(first, last, Kind.PERSISTENT, name, around.function)
    if _BUS.match(name):
        return Claim(first, last, Kind.WINDOW, name, around.function)
    return Claim(first, last, Kind.OWNED, name, around.function)


def _same(one: Claim, other: Claim) -> bool:
    return (one.kind, one.name, one.function) == (other.kind, other.name, other.function)


def _any_address(resource: Resource) -> bool:
    return bool(resource.first or resource.last) or any(map(_any_address, resource.children))
