from __future__ import annotations

import json
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from pymmio.backend.qtest.binary import find_qemu
from pymmio.backend.qtest.command_line import Descriptors, build
from pymmio.backend.qtest.machine.layout import RamPlan
from pymmio.backend.qtest.options import KNOWN, MachineKind, Options
from pymmio.errors import Unsupported, UriError
from pymmio.uri import DeviceUri

GIB = 1 << 30
FDS = Descriptors(qtest=11, bell=12, ram=13, rom=14)


def options_of(text: str) -> Options:
    return Options.of(DeviceUri.parse(text))


def command_of(text: str, memory_size: int | None = None) -> list[str]:
    options = options_of(text)
    plan = RamPlan(options.ram, has_iommu=options.iommu)
    return build("qemu", options, plan, FDS, memory_size)


def after(command: list[str], option: str) -> list[str]:
    return [b for a, b in pairwise(command) if a == option]


def test_defaults() -> None:
    options = options_of("qemu:edu")
    assert (options.device, options.model) == ("edu", "edu")
    assert (options.machine, options.ram, options.iommu) == (MachineKind.Q35, GIB, True)
    assert (options.drive, options.memory, options.binary) == (None, None, None)


def test_everything_can_be_said() -> None:
    options = options_of(
        "qemu:nvme,serial=x?drive=a.img&size=64M&format=raw&ram=256M&machine=pc&timeout=2.5"
        "&binary=/opt/qemu"
    )
    assert (options.device, options.model) == ("nvme,serial=x", "nvme")
    assert options.drive == os.path.abspath("a.img")
    assert (options.size, options.ram) == (64 << 20, 256 << 20)
    assert (options.machine, options.iommu) == (MachineKind.PC, False)
    assert (options.timeout_s, options.binary) == (2.5, "/opt/qemu")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("qemu:edu?mashine=pc", "no option 'mashine'"),
        ("qemu:edu?machine=virt", "q35 or pc"),
        ("qemu:edu?ram=lots", "not a size"),
        ("qemu:edu?ram=1M", "16M to 64G"),
        ("qemu:edu?ram=65537K&x", "no option 'x'"),
        ("qemu:edu?ram=65537K", "whole MiB"),
        ("qemu:edu?size=1M", "there is none"),
        ("qemu:nvme?drive=a&memory=b&size=1M", "which file"),
        ("qemu:nvme?drive", "drive= is empty"),
        ("qemu:nvme?drive=a&format=raw,file=b", "no format"),
        ("qemu:edu?iommu=maybe", "neither on nor off"),
        ("qemu:edu?iommu=on&machine=pc", "no IOMMU"),
        ("qemu:edu?timeout=soon", "timeout"),
        ("qemu:edu?timeout=nan", "timeout"),
        ("qemu:-help", "no name of a device"),
        ("qemu:{}", "no name of a device"),
        ("qemu:edu,id=x", "set by pymmio"),
        ("qemu:edu,bus=pcie.0", "set by pymmio"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, said: str) -> None:
    with pytest.raises(UriError, match=said):
        options_of(text)


def test_unknown_options_name_all_there_are() -> None:
    with pytest.raises(UriError) as caught:
        options_of("qemu:edu?x=1")
    for name in KNOWN:
        assert f"{name}: " in str(caught.value)


def test_the_command_line_has_nothing_on_disk() -> None:
    command = command_of("qemu:edu")
    assert after(command, "-bios") == ["/proc/self/fd/14"]
    assert after(command, "-qtest") == ["unix:fd=11"]
    assert after(command, "-chardev") == ["socket,id=bell,fd=12"]
    (ram,) = after(command, "-object")
    assert "mem-path=/proc/self/fd/13" in ram
    assert f"size={GIB}" in ram
    assert after(command, "-m") == [f"size={GIB}B"]
    assert "-nodefaults" in command
    assert "-no-user-config" in command


def test_the_device_comes_last_behind_its_port() -> None:
    devices = after(command_of("qemu:e1000e,mac=52:54:00:12:34:56"), "-device")
    names = [device.partition(",")[0] for device in devices]
    assert names == ["intel-iommu", "pcie-root-port", "ivshmem-doorbell", "e1000e"]
    assert devices[-1].startswith("e1000e,mac=52:54:00:12:34:56,romfile=,bus=upstream,addr=0,")


def test_machine_pc_has_a_bridge_and_no_iommu() -> None:
    devices = after(command_of("qemu:edu?machine=pc"), "-device")
    names = [device.partition(",")[0] for device in devices]
    assert names == ["pci-bridge", "ivshmem-doorbell", "edu"]


def test_a_drive_is_given_to_the_device() -> None:
    command = command_of("qemu:nvme,serial=x?drive=/a,b.img&format=qcow2")
    (drive,) = after(command, "-drive")
    assert drive == "id=drive0,if=none,format=qcow2,file=/a,,b.img"
    assert ",drive=drive0," in after(command, "-device")[-1]


def test_memory_is_given_to_the_device() -> None:
    command = command_of("qemu:ivshmem-plain?memory=/m", 1 << 20)
    assert f"memory-backend-file,id=memory0,share=on,size={1 << 20},mem-path=/m" in command
    assert ",memdev=memory0," in after(command, "-device")[-1]
    assert after(command, "-m") == [f"size={GIB}B"]


def test_memory_beside_ram_has_a_place() -> None:
    command = command_of("qemu:virtio-pmem-pci?memory=/m", 1 << 20)
    assert f",memdev=memory0,memaddr={4 * GIB:#x}," in after(command, "-device")[-1]
    assert after(command, "-m") == [f"size={GIB}B,slots=1,maxmem={3 * GIB}B"]


def test_an_option_rom_is_for_who_asks() -> None:
    device = after(command_of("qemu:e1000e,romfile=/x.rom"), "-device")[-1]
    assert device.count("romfile") == 1


# --- the program -------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("PYMMIO_QEMU", raising=False)
    return tmp_path


def make_program(path: Path) -> str:
    path.write_text("")
    path.chmod(0o755)
    return str(path)


def test_no_qemu_names_the_package(folder: Path) -> None:
    with pytest.raises(Unsupported, match="qemu-system-x86") as caught:
        find_qemu(None)
    assert "PYMMIO_QEMU" in str(caught.value)


def test_qemu_of_the_search_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = make_program(folder / "qemu-system-i386")
    assert find_qemu(None) == small
    large = make_program(folder / "qemu-system-x86_64")
    for host in ("x86_64", "s390x", "aarch64"):
        monkeypatch.setattr("platform.machine", lambda host=host: host)
        assert find_qemu(None) == large
    monkeypatch.setattr("platform.machine", lambda: "i686")
    assert find_qemu(None) == small


def test_a_qemu_that_is_named_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(folder / "qemu-system-x86_64")
    mine, other = make_program(folder / "mine"), make_program(folder / "other")
    monkeypatch.setenv("PYMMIO_QEMU", mine)
    assert find_qemu(None) == mine
    assert find_qemu("other") == other
    with pytest.raises(UriError, match="binary=/none"):
        find_qemu("/none")
    monkeypatch.setenv("PYMMIO_QEMU", "/none")
    with pytest.raises(UriError, match="PYMMIO_QEMU=/none"):
        find_qemu(None)


def test_a_device_in_json() -> None:
    text = '{"driver":"vfio-user-pci","socket":{"type":"unix","path":"/a,b.sock"}}'
    options = options_of(f"qemu:{text}?ram=64M")
    assert (options.device, options.model) == (text, "vfio-user-pci")
    assert not options.iommu
    device = json.loads(after(command_of(f"qemu:{text}"), "-device")[-1])
    assert device.pop("socket") == {"type": "unix", "path": "/a,b.sock"}
    assert device == {
        "driver": "vfio-user-pci",
        "romfile": "",
        "bus": "upstream",
        "addr": "0",
        "id": "device",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"driver":"vfio-user-pci"}?iommu=on', "without an IOMMU"),
        ('{"driver":"edu"', "no JSON"),
        ("{}", "no name of a device model"),
        ('{"driver":["edu"]}', "no name of a device model"),
        ('{"driver":"edu","bus":"pcie.0"}', "'bus' is set by pymmio"),
        ("{" * 100_000, "no JSON"),
    ],
)
def test_bad_json_is_refused(text: str, said: str) -> None:
    with pytest.raises(UriError, match=re.escape(said)):
        options_of(f"qemu:{text}")
