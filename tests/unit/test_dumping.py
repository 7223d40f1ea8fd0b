"""Dumps of devices: what is read, what is refused, what is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pymmio.backend.sim.device import SimHandle
from pymmio.device import Device
from pymmio.device_regions import DeviceRegions
from pymmio.dumping import dump_region, reading_refused, write_dump
from pymmio.errors import AccessError, AccessFault, BadArgument, DeviceNotFound, UnsafeRead
from pymmio.mmio import AccessRule
from pymmio.regs import Field, Reg, RegArray, Register, RegisterFile
from pymmio.uri import DeviceUri
from tests.unit.backend.sim.rig import Rig, make_device
from tests.unit.pci.roms import image
from tests.unit.test_function import RomHandle


class STATUS(Register, offset=0x00, width=32):
    """A register that may be read."""

    ready = Field(bit=0)


class FIFO(Register, offset=0x04, width=32, read_side_effects=True):
    """A read takes an entry."""


class Harmless(RegisterFile):
    status = Reg(STATUS)


class Harmful(RegisterFile):
    status = Reg(STATUS)
    fifo = RegArray(FIFO, count=2, stride=4)


def test_a_bar_whose_registers_do_no_harm() -> None:
    device, model, _ = make_device()
    with device:
        dumped = dump_region(device, 0, 4, registers=Harmless(device.region(0)))
        assert (dumped.name, dumped.width, len(dumped.content)) == ("BAR0", 4, 0x2000)
        assert {access[3] for access in model.accesses} == {4}
        assert model.accesses[1] == ("read", 0, 4, 4)
        assert dumped.holes == ()


@pytest.mark.parametrize("width", [1, 2, 8])
def test_each_access_has_the_declared_width(width: int) -> None:
    device, model, _ = make_device()
    with device:
        dump_region(device, 0, width, force=True)
        assert {access[3] for access in model.accesses} == {width}


def test_what_may_do_harm_is_read_by_force_only() -> None:
    device, model, _ = make_device()
    with device:
        bar = device.region(0)
        for registers, says in (
            (None, "no driver declares"),
            (Harmless(device.region(2)), "no driver declares"),
            (Harmful(bar), "reads of fifo have side effects"),
        ):
            assert says in str(reading_refused(device, 0, registers))
            with pytest.raises(UnsafeRead, match=says):
                dump_region(device, 0, 4, registers=registers)
        assert model.accesses == []
        assert dump_region(device, 0, 4, registers=Harmful(bar), force=True).content


def test_a_rule_that_forbids_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    device, _, _ = make_device()
    with device:
        monkeypatch.setattr(
            DeviceRegions, "_default_rule", lambda self, index: AccessRule(read_side_effects=True)
        )
        assert "side effects" in str(reading_refused(device, 0, None))


def test_plain_memory_needs_no_declaration() -> None:
    device, _, _ = make_device()
    with device:
        device.region(2).write32(8, 0x1234_5678)
        assert dump_region(device, 2, 8).content[8:12] == bytes.fromhex("78563412")


def test_wrong_widths_and_regions() -> None:
    device, _, _ = make_device()
    with device:
        for width in (0, 3, 16):
            with pytest.raises(BadArgument, match="cannot be read"):
                dump_region(device, 2, width)
        with pytest.raises(DeviceNotFound):
            dump_region(device, 4, 4, force=True)


class Holed(Rig):
    """A model that answers nowhere in a part of its BAR."""

    first, last = 0x0FF8, 0x1004

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        if self.first <= offset < self.last:
            raise AccessError(f"nothing at {offset:#x}", offset=offset, width=width)
        return super().bar_read(bar, offset, width)


def test_parts_that_cannot_be_read_are_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Holed, "msix_vectors", 0)
    with Device(DeviceUri("sim", "rig"), SimHandle(Holed(), "sim:rig")) as device:
        dumped = dump_region(device, 0, 4, force=True)
        (hole,) = dumped.holes
        assert (hole.offset, hole.size) == (0xFF8, 12)
        assert "nothing at 0xff8" in hole.why
        assert dumped.content[0xFF8:0x1004] == bytes(12)
        assert dumped.content[0xFF4:0xFF8] != bytes(4)


def test_nothing_that_can_be_read_is_an_error() -> None:
    device, _, _ = make_device()
    with device:
        device.config.update_command(off=2)
        with pytest.raises(AccessFault, match="memory decoding is off"):
            dump_region(device, 0, 4, force=True)


def test_progress_adds_up_to_the_size() -> None:
    device, _, _ = make_device()
    steps: list[int] = []
    with device:
        dump_region(device, 0, 4, force=True, on_progress=steps.append)
    assert sum(steps) == 0x2000


def test_files(tmp_path: Path) -> None:
    content = image()
    with Device(DeviceUri("sim", "rig"), RomHandle(content + bytes(512))) as device:
        paths = write_dump(device, tmp_path / "a/b", bars={2: 4})
    assert [path.name for path in paths] == ["dump.json", "config.bin", "bar2.bin", "rom.bin"]
    about = json.loads(paths[0].read_text())
    assert about["format"] == 1
    assert about["uri"] == "sim:rig"
    assert [one["name"] for one in about["capabilities"]][:1] == ["power management"]
    assert about["rom"]["images"][0]["code_name"] == "x86"
    assert about["reset_methods"][-1]["kind"] == "model"
    assert [(one["file"], one["size"]) for one in about["regions"]] == [
        ("config.bin", 4096),
        ("bar2.bin", 4096),
        ("rom.bin", 1024),
    ]
    assert paths[3].read_bytes() == content


def test_a_rom_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    with Device(DeviceUri("sim", "rig"), RomHandle(bytes(2048))) as device:
        paths = write_dump(device, tmp_path / "x")
    assert [path.name for path in paths] == ["dump.json", "config.bin"]
    assert "signature" in json.loads(paths[0].read_text())["rom"]["error"]


def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
    device, _, _ = make_device()
    with device:
        with pytest.raises(UnsafeRead):
            write_dump(device, tmp_path / "x", bars={0: 4})
        assert not (tmp_path / "x").exists()
        with pytest.raises(BadArgument, match="exists"):
            write_dump(device, tmp_path)
