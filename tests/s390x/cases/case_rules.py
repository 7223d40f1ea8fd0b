"""What QEMU's zPCI lets through to a device, and what the kernel makes of lengths and offsets.

The device is the memory buffer of QEMU's NVMe controller (BAR 2); its accesses are those in QEMU's
own trace.  The controller refuses what is not naturally aligned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pymmio
from pymmio.backend.vfio.region import VfioRegion
from pymmio.check.rules import (
    ReadySubject,
    Report,
    Verdict,
    file_subject,
    preset,
    run,
)
from pymmio.check.rules.report import as_dict, text
from tests.guest.case import case
from tests.guest.inside import NVME, SHARE, bound_to_vfio
from tests.s390x import workload
from tests.s390x.instructions import LOAD, STORE, run_with_instructions
from tests.s390x.qemu_log import QemuLog
from tests.s390x.raw import PCI_MMIO_READ, PCI_MMIO_WRITE, mapped, page_buffer, pci_call
from tests.s390x.workload import MEMORY, MIB

WAYS = ("syscall", "pread")

# Widths of 3, 5, 6 and 7 bytes, which zPCI does not have: system calls where all pieces are
# aligned.  (width, offset in 8 bytes): pieces; everything else is refused by the controller, or
# crosses 8 bytes.
CUT = {
    (3, 0): (2, 1),
    (3, 2): (2, 1),
    (3, 4): (2, 1),
    (3, 6): (2, 1),
    (5, 0): (4, 1),
    (5, 4): (4, 1),
    (6, 0): (4, 2),
    (6, 4): (4, 2),
    (7, 0): (4, 2, 1),
    (7, 4): (4, 2, 1),
}


@contextmanager
def _recorded(access: str) -> Iterator[tuple[pymmio.Device, QemuLog]]:
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(f"vfio:{function.address}", access=access) as device:
            log = QemuLog("nvme-cmb", MIB)
            try:
                yield device, log
            finally:
                log.close()


def _report(subject: ReadySubject, rule: str, log: QemuLog) -> Report:
    report = run(subject.access, preset(rule), log, name=subject.name, widths=subject.widths)
    name = f"rules-{subject.name}-{rule}.json"
    (SHARE / name).write_text(json.dumps(as_dict(report)))
    return report


@case(guest="s390x", timeout_s=240, seconds=4, params=WAYS)
def case_accessors_keep_the_rules(access: str) -> None:
    with bound_to_vfio(NVME) as function:
        workload.check_rules(function.address, access)


@case(guest="s390x", timeout_s=300, seconds=4)
def case_memory_io_instructions_keep_the_rules() -> None:
    with bound_to_vfio(NVME) as function:
        executed = run_with_instructions("check_rules", function.address, "mio")
    # Aligned places in three cells of 16 bytes, for two rules.
    wanted = {str(width): 2 * 3 * 16 // width for width in (1, 2, 4, 8)}
    assert executed[LOAD] == executed[STORE] == wanted, executed


@case(guest="s390x", timeout_s=240, seconds=4)
def case_system_calls_of_other_lengths_are_cut_by_the_kernel() -> None:
    buffer = page_buffer()
    with _recorded("syscall") as (device, log):
        source = device.handle.open_region(MEMORY).mmap_source()
        assert source is not None
        with mapped(source, device.regions[MEMORY].size) as base:

            def call(is_write: bool, offset: int, width: int, value: int) -> int | None:
                buffer.memory[:width] = value.to_bytes(width, "little")
                number = PCI_MMIO_WRITE if is_write else PCI_MMIO_READ
                answer = pci_call(number, base + offset, buffer.address, width)
                if answer != "ok":
                    raise OSError(answer)
                return None if is_write else int.from_bytes(buffer.memory[:width], "little")

            report = _report(ReadySubject("raw", tuple(range(1, 9)), call), "zpci", log)
    pieces = {
        (one.offset, one.width, one.is_write): tuple(seen.width for seen in one.seen)
        for one in report.broken
    }
    wanted = {
        (cell + at + inside, width, is_write): cut
        for cell in (0, 0xFF0, 0x1000)
        for at in (0, 8)
        for (width, inside), cut in CUT.items()
        for is_write in (False, True)
        if cell + at + inside >= 0x1000 or cell + at + inside + width <= 0x1000  # else EINVAL
    }
    assert pieces == wanted, text(report)


@case(guest="s390x", timeout_s=240, seconds=4)
def case_pread_and_pwrite_are_cut_as_the_preset_says() -> None:
    with _recorded("pread") as (device, log):
        region = device.handle.open_region(MEMORY)
        assert isinstance(region, VfioRegion)
        subject = file_subject(region.device.fd, region.record.file_offset)
        report = _report(subject, "vfio-pci", log)
        assert report.widths == (1, 2, 3, 4, 5, 6, 7, 8)
        assert report.verdict is Verdict.KEPT, text(report)
        against = _report(subject, "vfio-pci-32", log)
        assert {(broken.width, broken.place) for broken in against.broken} == {(8, 0), (8, 8)}
