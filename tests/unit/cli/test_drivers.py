"""Which driver knows a device."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint

import pytest

from pymmio import open_device
from pymmio.cli import drivers
from pymmio.errors import Unsupported
from pymmio.pci import PciIds, PciMatch

IDS = PciIds(vendor_id=0x1234, device_id=0x5678, class_code=0x010802)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, types.SimpleNamespace]:
    """Play the installed drivers: a module for each name."""
    modules: dict[str, types.SimpleNamespace] = {}

    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == "pymmio.drivers"
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, f"sample_{name}", module)
        return [EntryPoint(name, f"sample_{name}", group) for name in modules]

    monkeypatch.setattr(drivers, "entry_points", entry_points)
    return modules


def test_the_driver_that_matches_is_found(installed: dict[str, types.SimpleNamespace]) -> None:
    installed["other"] = types.SimpleNamespace(MATCH=(PciMatch(vendor_id=1),))
    installed["mine"] = types.SimpleNamespace(MATCH=(PciMatch(class_code=0x010802),))
    entry, module = drivers.driver_for(IDS)
    assert entry.name == "mine"
    assert module is installed["mine"]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_driver_for_the_device_wins_over_one_for_its_class(
    installed: dict[str, types.SimpleNamespace], names: tuple[str, str]
) -> None:
    exact, general = names
    installed[general] = types.SimpleNamespace(MATCH=(PciMatch(class_code=0x010802),))
    installed[exact] = types.SimpleNamespace(MATCH=(PciMatch(vendor_id=0x1234, device_id=0x5678),))
    assert drivers.driver_for(IDS)[0].name == exact


def test_no_driver_is_told_with_the_ids(installed: dict[str, types.SimpleNamespace]) -> None:
    installed["other"] = types.SimpleNamespace(MATCH=(PciMatch(vendor_id=1),))
    with pytest.raises(Unsupported, match=r"1234:5678.*other"):
        drivers.driver_for(IDS)


def test_no_driver_at_all(installed: dict[str, types.SimpleNamespace]) -> None:
    with pytest.raises(Unsupported, match="none"):
        drivers.driver_for(IDS)


def test_a_driver_that_cannot_be_loaded_is_told_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = types.SimpleNamespace(MATCH=(PciMatch(vendor_id=0x1234),))
    monkeypatch.setitem(sys.modules, "sample_good", good)
    entries = [
        EntryPoint("broken", "sample_that_is_missing", "pymmio.drivers"),
        EntryPoint("good", "sample_good", "pymmio.drivers"),
    ]
    monkeypatch.setattr(drivers, "entry_points", lambda *, group: entries)
    assert drivers.driver_for(IDS)[0].name == "good"
    assert "the driver broken (sample_that_is_missing) cannot be loaded" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        drivers.driver_for(IDS, driver="broken")


def test_a_driver_without_registers_is_told(installed: dict[str, types.SimpleNamespace]) -> None:
    installed["plain"] = types.SimpleNamespace(MATCH=(PciMatch(vendor_id=0x1234),))
    with (
        open_device("sim:edu") as device,
        pytest.raises(Unsupported, match="declares no REGISTERS"),
    ):
        drivers.registers_of(device)


def test_registers_are_those_of_the_declared_bar() -> None:
    with open_device("sim:nvme") as device:
        assert drivers.registers_of(device).region is device.region(0)
