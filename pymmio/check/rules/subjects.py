"""Ready subjects: ways to make an access, each with the widths that it can be asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pymmio.check.rules.recorder import RECORDED_BAR
from pymmio.check.rules.runner import Subject
from pymmio.check.rules.table import WIDTHS
from pymmio.device import Device
from pymmio.errors import BadArgument, Unsupported
from pymmio.mmio import PCI, AccessRule, Order, Region, Violation

__all__ = [
    "SUBJECTS",
    "ReadySubject",
    "file_subject",
    "ready_subject",
    "region_subject",
    "through",
]

POWERS = (1, 2, 4, 8)

SPLIT = AccessRule(aligned=False, otherwise=Violation.SPLIT)
BYTES = AccessRule(device_widths=frozenset({1}), aligned=False, otherwise=Violation.BYTES)
_ONLY_32 = frozenset({4})

RULES = {
    "vfio-pci": SPLIT,
    "vfio-pci-32": AccessRule(
        device_widths=frozenset({1, 2, 4}), aligned=False, otherwise=Violation.SPLIT
    ),
    "qemu-ram-device-2023": SPLIT,
    "qemu-ram-device-2026": SPLIT,
    "qemu-vfio-region-ops": SPLIT,
    "nvme": AccessRule(widths=frozenset({4, 8}), device_widths=_ONLY_32, order64=Order.LOW_FIRST),
}
"""How a region is declared for a rule; for all others as any PCI region."""


@dataclass(frozen=True, slots=True)
class ReadySubject:
    """A subject with its name and the widths to ask it for."""

    name: str
    widths: tuple[int, ...]
    access: Subject


def region_subject(region: Region, name: str) -> ReadySubject:
    """Return the ``readN`` and ``writeN`` of a region as a subject."""
    reads = {w: getattr(region, f"read{8 * w}") for w in POWERS}
    writes = {w: getattr(region, f"write{8 * w}") for w in POWERS}

    def access(is_write: bool, offset: int, width: int, value: int) -> int | None:
        if not is_write:
            number: int = reads[width](offset)
            return number
        writes[width](offset, value)
        return None

    return ReadySubject(name, POWERS, access)


def file_subject(fd: int, file_offset: int, name: str = "pread") -> ReadySubject:
    """Return pread and pwrite of a region's file as a subject; all lengths from 1 to 8."""

    def access(is_write: bool, offset: int, width: int, value: int) -> int | None:
        if is_write:
            done = os.pwrite(fd, value.to_bytes(width, "little"), file_offset + offset)
        else:
            data = os.pread(fd, width, file_offset + offset)
            done = len(data)
        if done != width:
            raise OSError(f"{done} of {width} bytes")
        return None if is_write else int.from_bytes(data, "little")

    return ReadySubject(name, WIDTHS, access)


class _Messages(Protocol):
    def read(self, offset: int, width: int) -> int: ...

    def write(self, offset: int, width: int, value: int) -> None: ...


def _message(handle: _Messages, widths: tuple[int, ...] = POWERS) -> ReadySubject:
    def access(is_write: bool, offset: int, width: int, value: int) -> int | None:
        if not is_write:
            return handle.read(offset, width)
        handle.write(offset, width, value)
        return None

    return ReadySubject("message", widths, access)


def through(device: Device) -> str:
    """Return what stands between this program and the device, with its version; "" for nothing."""
    say: Callable[[], str] | None = getattr(device.handle, "through", None)
    return say() if say is not None else ""


def _with_rule(name: str, choose: Callable[[str], AccessRule]) -> Callable[..., ReadySubject]:
    def make(device: Device, rule: str) -> ReadySubject:
        return region_subject(device.region(RECORDED_BAR, rule=choose(rule)), name)

    return make


def _of_handle(device: Device, rule: str) -> ReadySubject:
    handle = device.handle.open_region(RECORDED_BAR)
    unchecked: Callable[[], _Messages] | None = getattr(handle, "unchecked", None)
    return _message(handle) if unchecked is None else _message(unchecked(), WIDTHS)


def _of_file(device: Device, rule: str) -> ReadySubject:
    source = device.handle.open_region(RECORDED_BAR).pread_source()
    if source is None:
        raise Unsupported(
            f"{device.name} is not reached by pread", hint="Use another subject, such as region"
        )
    return file_subject(*source)


SUBJECTS: dict[str, tuple[str, Callable[..., ReadySubject]]] = {
    "region": (
        "a Region, declared for the rule where that is possible",
        _with_rule("region", lambda rule: RULES.get(rule, PCI)),
    ),
    "strict": ("a Region with the default rule", _with_rule("strict", lambda _: PCI)),
    "split": ("a Region that splits", _with_rule("split", lambda _: SPLIT)),
    "bytes": ("a Region that goes byte by byte", _with_rule("bytes", lambda _: BYTES)),
    "message": ("the backend, asked for the very access, unaligned or not", _of_handle),
    "pread": ("pread and pwrite of the region's file", _of_file),
}
"""What it is and how it is made, by name."""


def ready_subject(name: str, device: Device, rule: str) -> ReadySubject:
    """Return a ready subject on BAR0 of an access recorder, to be compared with ``rule``.

    Raises BadArgument for a name that there is not, Unsupported where the device has no such way.
    """
    if name not in SUBJECTS:
        raise BadArgument(f"there is no subject {name!r}", hint=f"Use {', '.join(SUBJECTS)}")
    return SUBJECTS[name][1](device, rule)
