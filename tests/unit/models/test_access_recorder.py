"""The access recorder: what it logs, and its window, pinned to literal offsets."""

from __future__ import annotations

import json

import pytest

import pymmio
from pymmio.errors import UriError
from pymmio.models.access_recorder import AccessRecorderModel, LoggedAccess
from pymmio.pci import MsiX
from pymmio.testing import open_model


def test_each_access_of_bar0_is_one_entry_in_its_order():
    model = AccessRecorderModel()
    with open_model(model) as device:
        bar = device.region(0)
        bar.write32(0x10, 0x44332211)
        assert bar.read16(0x12) == 0x4433
        bar.read8(0x10)
        assert model.log == [
            LoggedAccess(0, 0x10, 4, True, 0x44332211),
            LoggedAccess(1, 0x12, 2, False, 0x4433),
            LoggedAccess(2, 0x10, 1, False, 0x11),
        ]


def test_the_window_shows_the_log_without_being_in_it():
    model = AccessRecorderModel()
    with open_model(model) as device:
        device.region(0).write64(0x1238, 0x8877665544332211)
        device.region(0).read8(0)
        window = device.region(4)
        assert window.read32(0x00) == 0x52434552
        assert window.read32(0x04) == 2
        window.write32(0x10, 0)
        assert window.read32(0x14) == 0
        assert window.read64(0x18) == 0x1238
        assert window.read64(0x20) == 0x8877665544332211
        assert window.read32(0x28) == 0x108
        window.write32(0x10, 1)
        assert [window.read32(at) for at in (0x10, 0x14, 0x28)] == [1, 1, 0x001]
        assert len(model.log) == 2


def test_an_entry_that_is_not_there_reads_as_zero():
    with open_model(AccessRecorderModel()) as device:
        window = device.region(4)
        window.write32(0x10, 7)
        assert [window.read32(at) for at in (0x14, 0x18, 0x20, 0x28, 0x100)] == [0] * 5


def test_control_empties_the_log_and_numbers_go_on():
    with open_model(AccessRecorderModel()) as device:
        device.region(0).read8(0)
        window = device.region(4)
        window.write32(0x0C, 1)
        assert window.read32(0x04) == 0
        device.region(0).read8(1)
        assert [window.read32(at) for at in (0x04, 0x14, 0x18)] == [1, 1, 1]


def test_content_is_kept_until_it_is_restored():
    with open_model(AccessRecorderModel()) as device:
        bar, memory, window = device.region(0), device.region(2), device.region(4)
        assert [bar.read8(0), bar.read8(1), bar.read8(256)] == [29, 180, 30]
        assert memory.read8(1) == 180
        bar.write8(1, 7)
        memory.write8(1, 7)
        window.write32(0x0C, 2)
        assert [bar.read8(1), memory.read8(1)] == [180, 180]


def test_mapped_memory_is_not_logged():
    model = AccessRecorderModel()
    with open_model(model) as device:
        device.region(2).write32(0, 1)
        assert model.log == []


def test_a_full_log_counts_what_it_loses():
    model = AccessRecorderModel(limit="2")
    with open_model(model) as device:
        for offset in range(5):
            device.region(0).read8(offset)
        assert device.region(4).read32(0x08) == 3
        assert [entry.offset for entry in model.log] == [0, 1]


def test_reset_forgets():
    model = AccessRecorderModel()
    with open_model(model) as device:
        device.region(0).write8(0, 1)
        device.reset()
        assert model.log == []
        assert device.region(0).read8(0) == 29
        assert model.log[0].number == 0


def test_it_is_found_by_name():
    with pymmio.open_device("sim:access-recorder?size=4K") as device:
        assert device.region(0).size == 4096


@pytest.mark.parametrize("option", ["size=100K", "size=2K", "limit=0", "colour=blue"])
def test_bad_options_are_refused(option):
    with pytest.raises(UriError):
        pymmio.open_device(f"sim:access-recorder?{option}")


def test_a_file_gets_every_access_at_once_also_those_that_the_log_has_no_room_for(tmp_path):
    path = tmp_path / "log"
    with open_model(AccessRecorderModel(file=str(path), limit=1)) as device:
        device.region(0).write32(4, 7)
        device.region(0).read8(1)
        device.reset()
        lines = path.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"number": 0, "offset": 4, "width": 4, "is_write": True, "value": 7},
        {"number": 1, "offset": 1, "width": 1, "is_write": False, "value": 180},
    ]


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(UriError, match="cannot be written"):
        AccessRecorderModel(file=str(tmp_path / "nowhere" / "log"))


def test_msix_has_a_table_behind_the_window():
    with open_model(AccessRecorderModel(msix="2")) as device:
        assert len(device.irqs.msix) == 2
        (capability,) = (c for c in device.config.capabilities() if isinstance(c, MsiX))
        assert (capability.table.bar, capability.table.offset) == (4, 0x800)
        window = device.region(4)
        window.write32(0x800 + 12, 0)
        assert window.read32(0x800 + 12) == 0
        device.region(0).write32(0, 1)
        assert window.read32(0x04) == 1, "the table is not in the log, BAR0 is"
    with open_model(AccessRecorderModel()) as device:
        assert len(device.irqs.msix) == 0
    with pytest.raises(UriError, match="msix=65 is out of range"):
        AccessRecorderModel(msix=65)
