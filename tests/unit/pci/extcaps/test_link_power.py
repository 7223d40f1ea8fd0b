"""LTR, PTM and L1 PM substates."""

from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci.extcaps.l1_substates import L1Control, L1SubstatesCapability
from pymmio.pci.extcaps.ltr import MaxNoSnoopLatency, MaxSnoopLatency
from pymmio.pci.extcaps.ptm import PtmCapability, PtmControl

from .builders import masks, only, space_with


def test_ltr():
    # 3 * 32**4 ns and 71 * 32**2 ns
    found = only(space_with(0x0018, "03 10 47 08"))
    assert found.facts() == {"max_snoop_ns": 3 * 1048576, "max_no_snoop_ns": 71 * 1024}
    assert masks(MaxSnoopLatency) == {"value": 0x03FF, "scale": 0x1C00}
    assert (MaxSnoopLatency.spec.offset, MaxNoSnoopLatency.spec.offset) == (4, 6)


@pytest.mark.parametrize("scale", [6, 7])
def test_ltr_scales_that_are_not_permitted(scale):
    with pytest.raises(ProtocolError, match=f"scale {scale}"):
        only(space_with(0x0018, f"00 {scale << 2:02x} 00 00")).facts()


def test_ptm():
    assert only(space_with(0x001F, "05 10 00 00 03 14 00 00")).facts() == {
        "roles": ["requester", "root"],
        "clock_granularity": 16,
        "enabled": True,
        "is_root": True,
        "effective_granularity": 20,
    }
    assert masks(PtmCapability) == {
        "requester": 1,
        "responder": 2,
        "root": 4,
        "granularity": 0xFF00,
    }
    assert masks(PtmControl) == {"enable": 1, "root_select": 2, "granularity": 0xFF00}
    assert (PtmCapability.spec.offset, PtmControl.spec.offset) == (4, 8)


def test_l1_substates():
    assert only(space_with(0x001E, "1f 28 00 00 0a 00 00 00")).facts() == {
        "supported": ["pci_pm_l1_2", "pci_pm_l1_1", "aspm_l1_2", "aspm_l1_1", "l1_pm_substates"],
        "enabled": ["pci_pm_l1_1", "aspm_l1_1"],
    }
    assert masks(L1SubstatesCapability)["common_mode_restore_us"] == 0xFF00
    assert masks(L1Control) == {
        "pci_pm_l1_2": 1,
        "pci_pm_l1_1": 2,
        "aspm_l1_2": 4,
        "aspm_l1_1": 8,
    }
    assert (L1SubstatesCapability.spec.offset, L1Control.spec.offset) == (4, 8)


@pytest.mark.parametrize("number", [0x0018, 0x001E, 0x001F])
def test_at_the_end_of_the_space(number):
    with pytest.raises(ProtocolError, match="beyond the 0x1000"):
        only(space_with(number, "", at=0xFFC)).facts()
