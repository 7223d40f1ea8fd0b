"""What QEMU makes of a guest's accesses to a BAR behind vfio-user, seen by the device itself."""

from __future__ import annotations

import ctypes
import json
import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pymmio
from pymmio.check.accessors._recorder import ffi, lib
from pymmio.check.accessors.place import address_of
from pymmio.check.rules import (
    DeviceRecorder,
    ReadySubject,
    Verdict,
    preset,
    ready_subject,
    run,
)
from pymmio.check.rules.report import as_dict, text
from pymmio.device import Device
from tests.guest.case import case
from tests.guest.inside import SHARE, bound_to_vfio
from tests.guest.monitor import Monitor
from tests.vfio_user.cases import disk

RECORDER = (0x1234, 0x5243)
HERE = "vfio-user"

# Sizes of a memcpy from the BAR and what the device saw of it: (offset, width) of each access.
# glibc of Debian 12 under TCG of QEMU 11.1, the processor "max".
MEMCPY = {
    1: ((0, 1),),
    2: ((0, 1), (0, 2)),
    4: ((0, 4), (0, 4)),
    7: ((3, 1), (4, 1), (5, 1), (6, 1), (0, 4)),
    8: ((0, 8), (0, 8)),
    16: ((0, 8), (8, 8), (0, 8), (8, 8)),
}


@contextmanager
def recorded() -> Iterator[tuple[Device, int]]:
    """Give the recorder and the address at which its BAR0 is mapped."""
    with bound_to_vfio(RECORDER) as function:
        with pymmio.open_device(f"vfio:{function.address}") as device:
            region = device.handle.open_region(0)
            source = region.mmap_source()
            assert source is not None
            with mmap.mmap(source[0], region.info.size, offset=source[1]) as memory:
                yield device, address_of(memory)


def processor(address: int) -> ReadySubject:
    """Return the processor's own load and store instructions, aligned or not."""

    def access(is_write: bool, offset: int, width: int, value: int) -> int | None:
        place = ffi.cast("void *", address + offset)
        if is_write:
            getattr(lib, f"pm_plain_write{8 * width}")(place, value)
            return None
        return int(getattr(lib, f"pm_plain_read{8 * width}")(place))

    return ReadySubject("processor", (1, 2, 4, 8), access)


def keep(name: str, report: object) -> None:
    """Leave a report on the host."""
    (SHARE / f"rules-{name}.json").write_text(json.dumps(report))


@case(timeout_s=60, guest=HERE)
def case_loads_and_stores_are_cut_as_the_preset_says() -> None:
    with recorded() as (device, address):
        subject = processor(address)
        recorder = DeviceRecorder(device)
        rule = preset("qemu-vfio-region-ops-tcg")
        report = run(subject.access, rule, recorder, name=subject.name, widths=subject.widths)
        keep("processor", as_dict(report))
        print(version(), text(report), sep="\n")
        assert report.verdict is Verdict.KEPT, text(report)
        other = preset("qemu-vfio-region-ops")
        against = run(subject.access, other, recorder, widths=subject.widths)
        assert against.verdict is Verdict.BROKEN, "the two presets do not differ here"


@case(timeout_s=60, guest=HERE)
def case_a_region_keeps_the_rule_through_a_virtual_machine() -> None:
    with recorded() as (device, _):
        for name, rule in (("region", "strict-pci"), ("pread", "vfio-pci")):
            ready = ready_subject(name, device, rule)
            report = run(
                ready.access, preset(rule), DeviceRecorder(device), name=name, widths=ready.widths
            )
            assert report.verdict is Verdict.KEPT, text(report)


@case(timeout_s=60, guest=HERE)
def case_memcpy_reads_registers_twice() -> None:
    seen = {}
    with recorded() as (device, address):
        recorder = DeviceRecorder(device)
        buffer = ctypes.create_string_buffer(64)
        for size in MEMCPY:
            lib.pm_libc_memcpy(
                ffi.cast("void *", ctypes.addressof(buffer)), ffi.cast("void *", address), size
            )
            seen[size] = tuple((one.offset, one.width) for one in recorder.take())
            print(size, *seen[size])
    assert seen == MEMCPY


@case(timeout_s=60, guest=HERE)
def case_the_command_line_checks_the_rules() -> None:
    with bound_to_vfio(RECORDER) as function:
        said = disk.run(
            *(sys.executable, "-m", "pymmio.cli", "check", "rules"),
            *(f"vfio:{function.address}", "--rule", "strict-pci"),
        )
    assert "strict-pci: kept by region, 0 of 384 accesses broken" in said, said


def version() -> str:
    """Return the version of the QEMU in which this runs."""
    with Monitor() as monitor:
        answer = monitor.command("query-version")
    assert isinstance(answer, dict)
    number = answer["qemu"]
    return "QEMU {major}.{minor}.{micro}".format(**number)
