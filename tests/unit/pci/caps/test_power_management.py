from __future__ import annotations

import pytest

from pymmio.errors import DeviceGone, DeviceTimeout, Unsupported
from pymmio.pci import ConfigSpace, PowerManagement, PowerState
from pymmio.pci.caps import power_management
from pymmio.pci.caps.power_management import PMC, PMCSR

from .. import spaces
from ..fakes import ConfigAccess


@pytest.fixture(autouse=True)
def slept(monkeypatch):
    """Record the recovery times instead of waiting."""
    times: list[float] = []
    monkeypatch.setattr(power_management.time, "sleep", times.append)
    return times


def pm_of(fake) -> PowerManagement:
    pm = ConfigSpace(fake).capability(PowerManagement)
    assert pm is not None
    fake.log.clear()
    return pm


def test_facts_of_e1000e():
    assert pm_of(spaces.e1000e()).as_dict() == {
        "id": 0x01,
        "name": "power management",
        "offset": 0xC8,
        "version": 2,
        "state": "D3HOT",
        "supported_states": ["D0", "D3HOT"],
        "no_soft_reset": False,
        "pme_enabled": True,
        "pme_status": True,
    }


def test_to_d3hot_writes_only_the_state_and_waits(slept):
    fake = spaces.nvme()
    pm = pm_of(fake)
    pm.set_power_state(PowerState.D3HOT)
    assert fake.writes == [ConfigAccess("w", 0x64, 2, 0x000B)]
    assert pm.power_state is PowerState.D3HOT
    assert slept == [0.01]


def test_back_to_d0_keeps_pme_enable_and_does_not_clear_pme_status(slept):
    fake = spaces.e1000e()
    pm = pm_of(fake)
    pm.set_power_state(PowerState.D0)
    assert fake.writes == [ConfigAccess("w", 0xCC, 2, 0x0100)]
    assert pm.power_state is PowerState.D0
    assert pm.control.pme_status == 1
    assert slept == [0.01]


def test_the_present_state_is_not_written_again():
    fake = spaces.nvme()
    pm_of(fake).set_power_state(PowerState.D0)
    assert fake.writes == []


def test_d1_and_d2_only_where_the_function_has_them(slept):
    fake = spaces.nvme()
    pm = pm_of(fake)
    with pytest.raises(Unsupported, match="D2 asked for, the function has D0, D3HOT"):
        pm.set_power_state(PowerState.D2)
    assert fake.writes == []
    fake.put(0x62, 2, 0x0603)
    assert pm.supported_states == tuple(PowerState)
    pm.set_power_state(PowerState.D1)
    assert slept == []
    pm.set_power_state(PowerState.D2)
    assert slept == [200e-6]
    with pytest.raises(Unsupported, match="only D0"):
        pm.set_power_state(PowerState.D1)
    assert pm.power_state is PowerState.D2


def test_a_function_that_stays_is_reported():
    fake = spaces.nvme()
    fake.put_mask(0x64, 2, 0)
    with pytest.raises(DeviceTimeout, match="D3HOT asked for, the function is in D0"):
        pm_of(fake).set_power_state(PowerState.D3HOT)


def test_all_ones_mean_that_the_device_is_gone():
    fake = spaces.nvme()
    pm = pm_of(fake)
    fake.put(0x64, 2, 0xFFFF)
    with pytest.raises(DeviceGone):
        pm.power_state
    with pytest.raises(DeviceGone):
        pm.set_power_state(PowerState.D0)
    assert fake.writes == []


def test_bits_are_those_of_the_specification():
    assert {f.name: f.mask for f in PMC.spec.fields.values()} == {
        "version": 0x0007,
        "pme_clock": 0x0008,
        "immediate_readiness": 0x0010,
        "dsi": 0x0020,
        "aux_current": 0x01C0,
        "d1_support": 0x0200,
        "d2_support": 0x0400,
        "pme_support": 0xF800,
    }
    assert {f.name: f.mask for f in PMCSR.spec.fields.values()} == {
        "power_state": 0x0003,
        "reserved_2": 0x0004,
        "no_soft_reset": 0x0008,
        "reserved_7_4": 0x00F0,
        "pme_en": 0x0100,
        "data_select": 0x1E00,
        "data_scale": 0x6000,
        "pme_status": 0x8000,
    }
    assert (PMC.spec.offset, PMCSR.spec.offset) == (2, 4)
    assert (PMC.spec.width, PMCSR.spec.width) == (16, 16)
