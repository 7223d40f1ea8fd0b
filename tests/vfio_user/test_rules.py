"""What QEMU makes of accesses without a guest: recorder behind vfio-user, QEMU driven by qtest."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import pymmio
from pymmio.backend.vfio_user.server import serve
from pymmio.check.accessors._recorder import ffi, lib
from pymmio.check.accessors.place import address_of
from pymmio.check.rules import (
    DeviceRecorder,
    Preset,
    Report,
    Seen,
    Verdict,
    preset,
    ready_subject,
    run,
    through,
)
from pymmio.check.rules.report import text
from pymmio.device import Device
from pymmio.models.access_recorder import AccessRecorderModel
from tests import newer_qemu
from tests.vfio_user.serving import PROJECT, served, short_folder, uri_through_qemu

pytestmark = pytest.mark.usefixtures("qemu_ready")

MAPPED = 2  # the recorder's BAR that is plain memory
PAGE = 4096
ONES = (1 << 64) - 1
TRACED = re.compile(
    r"memory_region_ram_device_(read|write) cpu -?\d+ mr \S+ addr (0x\w+) value (0x\w+) size (\d+)"
)


@pytest.fixture(scope="module")
def recorder_uri() -> Iterator[str]:
    """Serve a recorder; one QEMU after the other may have it."""
    with short_folder() as folder, served("access-recorder", folder / "recorder.sock") as server:
        yield uri_through_qemu(server.socket)


def test_accesses_of_the_bus_are_cut_as_the_preset_says(recorder_uri: str) -> None:
    rule = preset("qemu-vfio-region-ops")
    with pymmio.open_device(recorder_uri) as device:
        assert re.search(r"QEMU emulator version \d+\.\d+", through(device))
        subject = ready_subject("message", device, rule.name)
        report = run(
            subject.access, rule, DeviceRecorder(device), name="qtest", widths=subject.widths
        )
        assert report.widths == (1, 2, 3, 4, 5, 6, 7, 8)
        assert len(report.cases) == 768
        assert report.verdict is Verdict.KEPT, text(report)


def test_a_region_through_qemu_keeps_the_strictest_rule(recorder_uri: str) -> None:
    with pymmio.open_device(recorder_uri) as device:
        subject = ready_subject("region", device, "strict-pci")
        report = run(
            subject.access, preset("strict-pci"), DeviceRecorder(device), widths=subject.widths
        )
        assert report.verdict is Verdict.KEPT, text(report)


def test_the_command_prints_the_version(recorder_uri: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pymmio.cli", "check", "rules", recorder_uri),
            *("--rule", "qemu-vfio-region-ops", "--subject", "message"),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    version, verdict, *_ = done.stdout.splitlines()
    assert re.match(r"through QEMU emulator version \d+\.\d+", version)
    assert verdict == "qemu-vfio-region-ops: kept by message, 0 of 768 accesses broken"


# --- a BAR that QEMU maps -----------------------------------------------------------------------


class Trace:
    """QEMU's own log of what reaches its mapped device memory; offsets are those in the BAR."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._mask = path, size - 1
        self._at = 0

    def take(self) -> list[Seen]:
        data = self._path.read_bytes()
        new, self._at = data[self._at :].decode(), len(data)
        return [
            Seen(int(at, 16) & self._mask, int(width), way == "write", int(value, 16))
            for way, at, value, width in TRACED.findall(new)
        ]


@contextmanager
def traced(folder: Path) -> Iterator[tuple[Device, Trace]]:
    """Give the recorder in a QEMU that writes down its accesses of mapped device memory."""
    log, program = folder / "trace.log", folder / "qemu"
    program.write_text(
        f'#!/bin/sh\nexec "{newer_qemu.program()}" "$@" -trace "memory_region_ram_device_*" '
        f'-D "{log}"\n'
    )
    program.chmod(0o755)
    with served("access-recorder", folder / "recorder.sock") as server:
        with pymmio.open_device(uri_through_qemu(server.socket, program)) as device:
            log.touch()
            yield device, Trace(log, device.regions[MAPPED].size)


def judge(device: Device, trace: Trace, rule: Preset) -> Report:
    """Run QEMU's bus on the mapped BAR."""
    bar = device.handle.open_region(MAPPED).unchecked()  # type: ignore[attr-defined]

    def access(is_write: bool, offset: int, width: int, value: int) -> int | None:
        if not is_write:
            number: int = bar.read(offset, width)
            return number
        bar.write(offset, width, value)
        bar.read(0x8000, 1)  # writes are posted: be sure that it is made
        seen.extend(one for one in trace.take() if one.offset != 0x8000)
        return None

    seen: list[Seen] = []

    class Recorder:
        def take(self) -> list[Seen]:
            taken, seen[:] = [*seen, *trace.take()], []
            return taken

    return run(access, rule, Recorder(), name="qtest, mapped")


def test_a_mapped_bar_gets_whole_accesses_at_any_offset() -> None:
    with short_folder() as folder, traced(folder) as (device, trace):
        for name in ("qemu-ram-device-2016", "qemu-ram-device-2023", "qemu-ram-device-2026"):
            report = judge(device, trace, preset(name))
            assert report.verdict is Verdict.KEPT, text(report)
        other = judge(device, trace, preset("qemu-vfio-region-ops"))
        assert other.verdict is Verdict.BROKEN, "the BAR was reached by messages"


def torn_reads(device: Device, address: int, offset: int, count: int, enough: int) -> int:
    """Return how many of QEMU's reads saw parts of two values while another thread wrote.

    Ends when there were ``enough``.
    """
    bar = device.handle.open_region(MAPPED).unchecked()  # type: ignore[attr-defined]
    torn = 0
    assert lib.pm_writer_start(ffi.cast("void *", address + offset), 8) == 0
    try:
        for _ in range(count):
            torn += bar.read(offset, 8) not in (0, ONES)
            if torn >= enough:
                break
    finally:
        lib.pm_tearing_stop()
    return torn


def test_reads_inside_a_cache_line_are_whole_and_those_across_pages_are_not() -> None:
    model = AccessRecorderModel()
    with short_folder() as folder, serve(model, folder / "recorder.sock") as server:
        with pymmio.open_device(uri_through_qemu(server.path)) as device:
            memory = model.host.bar_memory(MAPPED)
            address = address_of(memory)
            torn = {}
            for offset, count in ((PAGE - 4, 200_000), (0, 1500), (1, 1500), (4, 1500), (7, 1500)):
                memory[:] = bytes(len(memory))
                torn[offset] = torn_reads(device, address, offset, count, 1)
            memory.release()
    assert torn.pop(PAGE - 4), "nothing was torn where it must be: the rest proves nothing"
    assert not any(torn.values()), torn
