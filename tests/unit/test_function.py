"""What a device does as a whole: resets, power states, expansion ROM."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from pymmio.backend.sim.device import SimHandle, SimRegion
from pymmio.device import Device
from pymmio.errors import (
    AccessFault,
    BadArgument,
    Closed,
    DeviceBusy,
    ProtocolError,
    Unsupported,
)
from pymmio.handle import RegionInfo
from pymmio.pci import Command, PciAddress, PowerManagement, PowerState
from pymmio.uri import DeviceUri
from tests.unit.backend.sim.rig import Rig, make_device
from tests.unit.pci.roms import image


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the recovery times instead of waiting."""
    times: list[float] = []
    monkeypatch.setattr("pymmio.pci.caps.power_management.time.sleep", times.append)
    return times


# --- resets ------------------------------------------------------------------------------


def test_reset_methods_of_a_model() -> None:
    device, _, _ = make_device()
    with device:
        methods = device.reset_methods()
        assert "model" in methods
        assert [m.kind for m in methods.looked_at] == ["flr", "af_flr", "pm", "model"]


class PlainHandle(SimHandle):
    """A handle that says nothing about resets."""

    reset_methods = None  # type: ignore[assignment]


def test_a_backend_that_knows_nothing_more() -> None:
    with Device(DeviceUri("sim", "rig"), PlainHandle(Rig(), "sim:rig")) as device:
        assert [m.kind for m in device.reset_methods().looked_at] == ["flr", "af_flr", "pm"]
        with pytest.raises(Unsupported, match="resets no slots"):
            device.hot_reset()


class HotHandle(SimHandle):
    """A handle that resets buses, or has somebody in the way."""

    def __init__(self) -> None:
        super().__init__(Rig(), "sim:rig")
        self.asked: list[Collection[PciAddress]] = []
        self.is_refused = False

    def hot_reset(self, affecting: Collection[PciAddress] = ()) -> None:
        self.asked.append(list(affecting))
        if self.is_refused:
            raise DeviceBusy("somebody is there")
        self.reset()


def test_hot_reset_names_whom_it_may_hit_and_switches_decoding_on_again() -> None:
    handle = HotHandle()
    with Device(DeviceUri("sim", "rig"), handle) as device:
        device.hot_reset(affecting=["0000:01:00.1"])
        assert handle.asked == [[PciAddress(0, 1, 0, 1)]]
        assert device.config.command & Command.MEMORY
        handle.is_refused = True
        with pytest.raises(DeviceBusy):
            device.hot_reset()


# --- power -------------------------------------------------------------------------------


def state_of(device: Device) -> PowerState:
    return device.power_state


def test_to_d3hot_and_back(slept: list[float]) -> None:
    device, _, _ = make_device()
    with device:
        assert state_of(device) is PowerState.D0
        device.enable_bus_master()
        before = device.config.command
        device.set_power_state(PowerState.D3HOT)
        assert state_of(device) is PowerState.D3HOT
        assert not device.config.command & Command.BUS_MASTER
        with pytest.raises(AccessFault, match="sleeps in D3HOT"):
            device.region(0).read32(0)
        device.set_power_state(PowerState.D0)
        assert state_of(device) is PowerState.D0
        assert device.config.command == before
        device.region(0).read32(0)
        assert slept == [0.01, 0.01]


def test_a_block_in_d3hot_ends_in_d0_whatever_happens() -> None:
    device, _, _ = make_device()
    with device:
        with pytest.raises(KeyError), device.in_power_state(PowerState.D3HOT):
            assert device.power_state is PowerState.D3HOT
            raise KeyError
        assert device.power_state is PowerState.D0


def test_a_soft_reset_on_the_way_up_is_mended() -> None:
    device, _, handle = make_device()
    with device:
        bars = device.config.read32(0x10)
        device.enable_bus_master()
        command = device.config.command
        device.set_power_state(PowerState.D3HOT)
        handle.config.write(0x04, 2, 0)  # what the function does without no_soft_reset
        handle.config.write(0x10, 4, 0)
        device.set_power_state(PowerState.D0)
        assert device.config.command == command
        assert device.config.read32(0x10) == bars


def test_states_that_it_lacks_change_nothing() -> None:
    device, _, _ = make_device()
    with device:
        device.enable_bus_master()
        with pytest.raises(Unsupported, match="D2 asked for"):
            device.set_power_state(PowerState.D2)
        assert device.config.command & Command.BUS_MASTER
        with pytest.raises(BadArgument):
            device.set_power_state(7)  # type: ignore[arg-type]


def test_a_function_that_will_not_sleep_gets_its_command_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device, _, _ = make_device()

    def refuse(self: PowerManagement, state: PowerState) -> None:
        raise Unsupported("no")

    with device:
        device.enable_bus_master()
        with monkeypatch.context() as patch:
            patch.setattr(PowerManagement, "set_power_state", refuse)
            with pytest.raises(Unsupported):
                device.set_power_state(PowerState.D3HOT)
        assert device.config.command & Command.BUS_MASTER


def test_no_power_management_is_d0(monkeypatch: pytest.MonkeyPatch) -> None:
    device, _, _ = make_device()
    with device:
        monkeypatch.setattr(type(device.config), "capability", lambda self, family: None)
        assert device.power_state is PowerState.D0
        device.set_power_state(PowerState.D0)
        with pytest.raises(Unsupported, match="knows D0 only"):
            device.set_power_state(PowerState.D3HOT)


# --- expansion ROM -----------------------------------------------------------------------


class RomHandle(SimHandle):
    """A handle with an expansion ROM."""

    def __init__(self, content: bytes) -> None:
        super().__init__(Rig(), "sim:rig")
        self.content = content

    def region_infos(self) -> tuple[RegionInfo, ...]:
        info = RegionInfo(6, "ROM", len(self.content), writable=False)
        return (*super().region_infos(), info)

    def open_region(self, index: int) -> SimRegion:
        if index != 6:
            return super().open_region(index)
        info = self.region_infos()[-1]
        return SimRegion(info, self.lock, self._read_rom, lambda *_: None)

    def _read_rom(self, offset: int, width: int) -> int:
        assert width == 4
        return int.from_bytes(self.content[offset : offset + width], "little")


def test_rom() -> None:
    content = image()
    with Device(DeviceUri("sim", "rig"), RomHandle(content + bytes(1024))) as device:
        rom = device.rom()
        assert [(one.code_name, one.size) for one in rom.images] == [("x86", 1024)]
        assert rom.dump() == content


def test_a_rom_that_makes_no_sense() -> None:
    with (
        Device(DeviceUri("sim", "rig"), RomHandle(b"\xff" * 2048)) as device,
        pytest.raises(ProtocolError, match="0xffff"),
    ):
        device.rom()


def test_no_rom() -> None:
    device, _, _ = make_device()
    with device, pytest.raises(Unsupported, match="no expansion ROM"):
        device.rom()


def test_after_close() -> None:
    device, _, _ = make_device()
    device.close()
    for use in (device.reset_methods, device.hot_reset, device.rom, lambda: device.power_state):
        with pytest.raises(Closed):
            use()
    with pytest.raises(Closed):
        device.set_power_state(PowerState.D3HOT)
