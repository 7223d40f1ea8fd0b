from __future__ import annotations

import errno
import os
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pymmio.backend.qtest import open as open_qemu
from pymmio.backend.qtest import opening
from pymmio.backend.qtest.machine.bell import Bell
from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.errors import (
    DeviceBusy,
    DeviceNotFound,
    PermissionRefused,
    PymmioError,
    Unsupported,
    UriError,
)
from pymmio.handle import IrqKind
from pymmio.uri import DeviceUri
from tests.unit.backend.qtest.conftest import Opener
from tests.unit.backend.qtest.fake_qemu import FakeQemu

STEPS = [
    (opening, "RamPlan"),
    (opening, "Ram"),
    (opening, "DeviceMemory"),
    (opening, "Bell"),
    (opening, "_make_rom"),
    (opening, "QemuProcess"),
    (opening, "QtestChannel"),
    (opening, "config_access"),
    (opening, "set_up_port"),
    (Bell, "switch_on"),
    (opening, "Iommu"),
    (opening, "walk_capabilities"),
    (opening, "size_bars"),
    (opening, "place_bars"),
    (opening, "DeviceConfig"),
    (opening, "Relay"),
    (opening, "QtestIrq"),
    (opening, "QtestDma"),
    (opening, "QtestHandle"),
]


def footprint() -> tuple[set[str], int, list[str]]:
    """Descriptors, threads and mappings of memory files of this process."""
    maps = Path("/proc/self/maps").read_text()
    files = sorted(re.findall(r"memfd:pymmio-\S+", maps))
    return set(os.listdir("/proc/self/fd")), threading.active_count(), files


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    path = tmp_path / "memory"
    path.write_bytes(bytes(8192))
    return path


@pytest.mark.parametrize(("place", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_failure_at_each_step_leaves_nothing(
    fakes: list[FakeQemu],
    memory: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: object,
    name: str,
) -> None:
    uri = DeviceUri.parse(f"qemu:rig?ram=16M&memory={memory}")
    before = footprint()

    def fail(*arguments: object, **named: object) -> None:
        raise PymmioError(f"injected into {name}")

    monkeypatch.setattr(place, name, fail)
    with pytest.raises(PymmioError, match="injected"):
        open_qemu(uri)
    assert footprint() == before


@pytest.mark.parametrize(
    ("module", "name"), [(socket, "socketpair"), (os, "memfd_create"), (os, "eventfd")]
)
def test_a_system_without_descriptors_is_unsupported(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    handle, _ = opened()
    event = os.eventfd(0)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        with pytest.raises(PymmioError, match="open files"):
            if name == "eventfd":
                handle.irq.enable(IrqKind.MSIX, [event])
            else:
                open_qemu(DeviceUri.parse("qemu:rig?ram=16M"))
    handle.irq.enable(IrqKind.MSIX, [event])
    os.close(event)


@pytest.mark.parametrize("count", [1, 2, 10, 30])
def test_a_connection_that_breaks_while_opening_leaves_nothing(
    fakes: list[FakeQemu], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    before = footprint()
    left = count
    ask: Callable[..., int] = QtestChannel._ask

    def breaking(self: QtestChannel, *arguments: object, **named: object) -> int:
        nonlocal left
        left -= 1
        if not left:
            fakes[-1].die()
        return ask(self, *arguments, **named)

    monkeypatch.setattr(QtestChannel, "_ask", breaking)
    with pytest.raises(PymmioError, match="last words"):
        open_qemu(DeviceUri.parse("qemu:rig?ram=16M"))
    assert footprint() == before


def test_what_was_open_is_closed(opened: Opener, memory: Path) -> None:
    before = footprint()
    handle, _ = opened(f"qemu:rig?ram=16M&memory={memory}")
    event = os.eventfd(0)
    handle.irq.enable(IrqKind.MSI, [event])
    handle.irq.disable(IrqKind.MSI)
    handle.irq.enable(IrqKind.INTX, [event])
    handle.close()
    os.close(event)
    assert footprint() == before


# --- what QEMU says ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("-device x: 'x' is not a valid device model name", DeviceNotFound),
        ("'ivshmem-doorbell' is not a valid device model name", Unsupported),
        ("-device edu,a=1: Property 'edu.a' not found", UriError),
        ('-device nvme: Failed to get "write" lock', DeviceBusy),
        ("-drive file=x: Could not open 'x': Permission denied", PermissionRefused),
        ("-drive file=x: Could not open 'x': No such file or directory", DeviceNotFound),
        ("", Unsupported),
    ],
)
def test_its_own_words_are_in_the_exception(
    program: Path, words: str, kind: type[PymmioError]
) -> None:
    before = footprint()
    quoted = words.replace("'", "'\\''")
    program.write_text(f"#!/bin/sh\necho '{quoted}' >&2\nexit 1\n")
    threads_of_the_keeper = 1
    with pytest.raises(kind, match=re.escape(words or "said nothing")) as caught:
        open_qemu(DeviceUri.parse("qemu:rig?ram=16M"))
    assert type(caught.value) is kind
    assert caught.value.hint
    after = footprint()
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] <= before[1] + threads_of_the_keeper


def test_a_program_that_says_nothing_is_a_time_out(program: Path) -> None:
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    with pytest.raises(PymmioError, match="has not answered"):
        open_qemu(DeviceUri.parse("qemu:rig?ram=16M&timeout=0.2"))


def test_a_device_that_is_not_there_says_so(
    fakes: list[FakeQemu], monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(self: Bell, *arguments: object) -> None:
        del fakes[-1].functions[1, 0]

    monkeypatch.setattr(Bell, "switch_on", remove)
    with pytest.raises(UriError, match="no PCI device"):
        open_qemu(DeviceUri.parse("qemu:isa-thing?ram=16M"))


def test_bridges_are_refused(fakes: list[FakeQemu], monkeypatch: pytest.MonkeyPatch) -> None:
    def change(self: Bell, *arguments: object) -> None:
        fakes[-1].device.data[0x0E] = 0x81

    monkeypatch.setattr(Bell, "switch_on", change)
    with pytest.raises(Unsupported, match="bridge"):
        open_qemu(DeviceUri.parse("qemu:pcie-root-port?ram=16M"))


# --- files -------------------------------------------------------------------------------


def test_a_file_is_made_where_it_is_missing_and_stays(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "new.img"
    handle, fake = opened(f"qemu:nvme?drive={path}&size=1M&ram=16M")
    handle.close()
    assert path.stat().st_size == 1 << 20
    assert f"file={path}" in " ".join(fake.command)


def test_a_file_that_was_made_goes_when_opening_fails(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "new.img"
    with pytest.raises(PymmioError):
        open_qemu(DeviceUri.parse(f"qemu:nvme?drive={path}&size=1M"))
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ("drive=none.img", DeviceNotFound, "size=64M"),
        ("drive=none.img&size=1M&format=qcow2", DeviceNotFound, "qemu-img"),
        ("drive=none/none.img&size=1M", PermissionRefused, "cannot be made"),
        ("memory=none&size=1000", UriError, "whole pages"),
        ("memory=small&size=1M", UriError, "longer"),
    ],
)
def test_files_that_cannot_be_used_are_refused(
    program: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: str,
    kind: type[PymmioError],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_bytes(bytes(4096))
    with pytest.raises(kind, match=said):
        open_qemu(DeviceUri.parse(f"qemu:rig?{options}"))
    assert not list(tmp_path.glob("none*"))


def test_memory_beside_bars_has_an_address(opened: Opener, memory: Path) -> None:
    handle, fake = opened(f"qemu:virtio-pmem-pci?memory={memory}&ram=16M")
    assert f"memaddr={4 << 30:#x}" in fake.command[-1]
    fd, offset = handle.physical_memory((4 << 30) + 4096, 4096)
    os.pwrite(fd, b"here", offset)
    assert memory.read_bytes()[4096:4100] == b"here"


def test_memory_of_a_bar_can_be_mapped(opened: Opener, memory: Path) -> None:
    memory.write_bytes(bytes(256))
    with pytest.raises(UriError, match="whole pages"):
        opened(f"qemu:ivshmem-plain?memory={memory}&ram=16M")
    memory.write_bytes(bytes(4096))
    handle, _ = opened(f"qemu:ivshmem-plain?memory={memory}&ram=16M")
    info = next(info for info in handle.region_infos() if info.index == 2)
    assert info.is_ram
    assert info.mappable
    assert handle.open_region(2).mmap_source() is not None
    with pytest.raises(Unsupported, match="outside of its BARs"):
        handle.physical_memory(0, 1)
    assert handle.open_region(0).mmap_source() is None
