from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci.extcaps.ats import AtsCapability, AtsControl

from .builders import masks, only, space_with


def test_facts():
    assert only(space_with(0x000F, "70 00 01 80")).facts() == {
        "enabled": True,
        "queue_depth": 16,
        "page_aligned_request": True,
        "global_invalidate": True,
        "smallest_translation_unit": 8192,
    }


def test_a_depth_of_0_is_32():
    facts = only(space_with(0x000F, "00 00 00 00")).facts()
    assert (facts["queue_depth"], facts["enabled"]) == (32, False)


def test_at_the_end_of_the_space():
    with pytest.raises(ProtocolError, match="beyond the 0x1000"):
        only(space_with(0x000F, "", at=0xFFC)).facts()


def test_bits_are_those_of_the_specification():
    assert masks(AtsCapability) == {
        "queue_depth": 0x1F,
        "page_aligned_request": 0x20,
        "global_invalidate": 0x40,
    }
    assert masks(AtsControl) == {"smallest_translation_unit": 0x1F, "enable": 0x8000}
    assert (AtsCapability.spec.offset, AtsControl.spec.offset) == (4, 6)
