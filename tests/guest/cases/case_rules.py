"""What vfio-pci makes of pread and pwrite, and of mapped accesses, as QEMU sees them arrive.

The device is the controller memory buffer of QEMU's NVMe controller (BAR2): plain memory behind
calls of 1 to 8 bytes (hw/nvme/ctrl.c, nvme_cmb_ops).  QEMU writes a line for each call into a file
that lies in the folder that host and guest share.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pymmio.backend.vfio.qword import is_one_access
from pymmio.backend.vfio.region import VfioRegion
from pymmio.check.rules import (
    Preset,
    ReadySubject,
    Report,
    Seen,
    Verdict,
    file_subject,
    preset,
    region_subject,
    run,
)
from pymmio.check.rules.report import as_dict, text
from pymmio.mmio import MappedRegion, Mapping
from tests.guest.case import case
from tests.guest.cases.vfio_common import bound_handle
from tests.guest.inside import NVME, SHARE, find_function
from tests.guest.monitor import Monitor

CMB = 2
MARK = 0x80000  # an offset that no rule asks for
EVENTS = "memory_region_ops_"
LINE = re.compile(
    rf"{EVENTS}(read|write) cpu -?\d+ mr \S+ addr (0x\w+) value (0x\w+) size (\d+) name 'nvme-cmb'"
)


class Tape:
    """A recorder for runs that are made twice: first for the device, then for the verdict.

    QEMU's log is on for a whole run, as reading it, which makes accesses of other devices, would
    fill it for ever.  Each ``take`` leaves a mark; the second run gets the answers of the first
    one and what stands between the marks.
    """

    def __init__(self, subject: ReadySubject, mark: Callable[[], object]) -> None:
        self._subject = subject
        self._mark = mark
        self._answers: list[int | Exception | None] = []

    def take(self) -> list[Seen]:
        self._mark()
        return []

    def __call__(self, is_write: bool, offset: int, width: int, value: int) -> int | None:
        try:
            answer = self._subject.access(is_write, offset, width, value)
        except Exception as error:
            self._answers.append(error)
            raise
        self._answers.append(answer)
        return answer

    def replay(self, rule: Preset, log: list[Seen]) -> Report:
        """Judge the run by the log of all that QEMU saw in it."""
        pieces: list[list[Seen]] = [[]]
        for seen in log:
            if seen.offset == MARK:
                pieces.append([])
            else:
                pieces[-1].append(seen)
        answers = iter(self._answers)
        assert len(pieces) == len(self._answers) + 2, "a mark or an answer is missing"
        pieces.pop(0)  # what was before the first mark

        def answer(is_write: bool, offset: int, width: int, value: int) -> int | None:
            given = next(answers)
            if isinstance(given, Exception):
                raise given
            return given

        name, widths = self._subject.name, self._subject.widths
        # the first piece belongs to the access behind the mark that run() makes before it starts
        return run(answer, rule, Pieces([[], *pieces[:-1]]), name=name, widths=widths)


class Pieces:
    """A recorder that gives out what was recorded before."""

    def __init__(self, pieces: list[list[Seen]]) -> None:
        self._pieces = iter(pieces)

    def take(self) -> list[Seen]:
        return next(self._pieces)


class QemuLog:
    """The accesses of the memory buffer in QEMU's log; offsets are those in the BAR."""

    def __init__(self, region: VfioRegion) -> None:
        resources = (find_function(NVME).path / "resource").read_text().splitlines()
        self._base = int(resources[CMB].split()[0], 16)
        self._fd, self._file_offset = region.device.fd, region.record.file_offset

    def reports(self, subject: ReadySubject, *rules: str) -> list[Report]:
        """Run a subject and judge it by what QEMU saw; the reports are left on the host, too.

        All rules ask the same questions.
        """
        name = f"accesses-{os.getpid()}.log"
        with Monitor() as monitor:
            blocks = monitor.command("query-block")
        assert isinstance(blocks, list)
        (image,) = [block["inserted"]["file"] for block in blocks if "inserted" in block]
        in_qemu = Path(image).parent / "share" / name  # the run's folder: tests.guest.guest
        tape = Tape(subject, self._mark)
        self._tell(f"logfile {in_qemu}")
        self._tell(f"trace-event {EVENTS}* on")
        try:
            run(tape, preset(rules[0]), tape, widths=subject.widths)
        finally:
            self._tell(f"trace-event {EVENTS}* off")  # "log none" leaves them on
        log = (SHARE / name).read_text()
        (SHARE / name).unlink()
        seen = [
            Seen(int(at, 16) - self._base, int(width), way == "write", int(value, 16))
            for way, at, value, width in LINE.findall(log)
        ]
        reports = [tape.replay(preset(rule), seen) for rule in rules]
        for report in reports:
            name = f"rules-{subject.name}-{report.preset.name}.json"
            (SHARE / name).write_text(json.dumps(as_dict(report)))
        return reports

    def _mark(self) -> None:
        assert len(os.pread(self._fd, 1, self._file_offset + MARK)) == 1

    def _tell(self, line: str) -> None:
        with Monitor() as monitor:
            answer = monitor.command("human-monitor-command", **{"command-line": line})
        assert answer == "", answer


@contextmanager
def recorded() -> Iterator[tuple[VfioRegion, QemuLog]]:
    """Give the memory buffer and the log of its accesses for the block."""
    with bound_handle(NVME) as nvme:
        region = nvme.open_region(CMB)
        yield region, QemuLog(region)


@case(timeout_s=100, guest="rules")
def case_pread_and_pwrite_are_cut_as_the_preset_says() -> None:
    uname = os.uname()
    known, other = ("vfio-pci", "vfio-pci-32")
    if not is_one_access(uname.release, uname.machine):
        known, other = other, known
    with recorded() as (region, log):
        subject = file_subject(region.device.fd, region.record.file_offset)
        report, against = log.reports(subject, known, other)
        assert report.widths == (1, 2, 3, 4, 5, 6, 7, 8)
        assert report.verdict is Verdict.KEPT, text(report)
        assert {(broken.width, broken.place) for broken in against.broken} == {(8, 0), (8, 8)}


@case(timeout_s=100, guest="rules")
def case_mapped_accesses_are_one_each() -> None:
    with recorded() as (region, log):
        source = region.mmap_source()
        assert source is not None
        with MappedRegion(
            Mapping.of_file(*source, region.info.size, "CMB", writable=True)
        ) as mapped:
            (report,) = log.reports(region_subject(mapped, "mapped"), "strict-pci")
            assert report.verdict is Verdict.KEPT, text(report)


@case(timeout_s=100, guest="rules")
def case_memcpy_of_a_mapped_bar_breaks_the_rule() -> None:
    with recorded() as (region, log):
        with mmap.mmap(region.device.fd, 0x2000, offset=region.record.file_offset) as memory:
            first = ctypes.c_char.from_buffer(memory)
            start = ctypes.addressof(first)
            memcpy = ctypes.CDLL(None).memcpy
            memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
            buffer = ctypes.create_string_buffer(16)

            def copy(is_write: bool, offset: int, width: int, value: int) -> None:
                if is_write:
                    buffer.raw = value.to_bytes(width, "little").ljust(16, b"\0")
                    memcpy(start + offset, ctypes.addressof(buffer), width)
                else:
                    memcpy(ctypes.addressof(buffer), start + offset, width)

            (report,) = log.reports(ReadySubject("memcpy", (1, 2, 4, 8), copy), "strict-pci")
            del first
            reads = {c.width: c.seen for c in report.cases if c.offset == 8 and not c.is_write}
            assert report.verdict is Verdict.BROKEN, text(report)
            assert len(reads[8]) > 1, reads
