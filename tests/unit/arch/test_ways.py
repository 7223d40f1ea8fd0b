"""How PCI memory is reached on this machine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import pymmio.arch
from pymmio.arch import WAYS, current, lib, pci_ways
from pymmio.handle import Access


def test_this_machine_has_a_way() -> None:
    ways = pci_ways()
    if current().mmio == "mio":
        assert ways[-1] is Access.SYSCALL
        assert Access.MAPPED not in ways
    else:
        assert ways == (Access.MAPPED,)


def test_each_way_has_a_number_of_the_core() -> None:
    assert WAYS == {
        Access.MAPPED: lib.PM_WAY_LOAD,
        Access.MIO: lib.PM_WAY_MIO,
        Access.SYSCALL: lib.PM_WAY_SYSCALL,
    }
    assert len(set(WAYS.values())) == 3


@pytest.mark.parametrize(
    ("offered", "ways"),
    [
        (0b001, (Access.MAPPED,)),
        (0b100, (Access.SYSCALL,)),
        (0b110, (Access.MIO, Access.SYSCALL)),
    ],
)
def test_instructions_come_before_system_calls(
    monkeypatch: pytest.MonkeyPatch, offered: int, ways: tuple[Access, ...]
) -> None:
    monkeypatch.setattr(pymmio.arch, "lib", SimpleNamespace(pm_pci_ways=lambda: offered))
    assert pci_ways() == ways
