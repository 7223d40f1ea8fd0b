from __future__ import annotations

from pymmio.pci.saved import SavedHeader

from . import dumps, spaces
from .fakes import ConfigAccess


def test_only_what_differs_is_written_and_command_comes_last():
    fake = spaces.nvme()
    for offset in range(0x10, 0x34, 4):
        fake.put_mask(offset, 4, 0xFFFF_FFFF)
    saved = SavedHeader.of(fake)
    fake.put(0x10, 4, 4)
    fake.put(0x04, 2, 0)
    fake.log.clear()
    saved.restore(fake)
    assert fake.writes == [
        ConfigAccess("w", 0x10, 4, 0xFEBF_0004),
        ConfigAccess("w", 0x04, 2, 0x0507),
    ]
    fake.log.clear()
    saved.restore(fake)
    assert fake.writes == []


def test_windows_of_bridges_are_left_alone():
    assert SavedHeader.of(spaces.literal(dumps.ROOT_PORT, 4096)).dwords == ()
