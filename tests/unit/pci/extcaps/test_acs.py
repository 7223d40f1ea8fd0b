from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci.extcaps import Acs
from pymmio.pci.extcaps.acs import AcsCapability, AcsControl

from .. import dumps, spaces
from .builders import masks, only, space_with


def acs(body: str, **where: int) -> Acs:
    found = only(space_with(0x000D, body, **where))
    assert isinstance(found, Acs)
    return found


def test_root_port_of_qemu():
    found = only(spaces.literal(dumps.ROOT_PORT, 4096))
    assert isinstance(found, Acs)
    assert found.facts() == {
        "supported": [
            "source_validation",
            "translation_blocking",
            "request_redirect",
            "completion_redirect",
            "upstream_forwarding",
            "direct_translated",
        ],
        "enabled": [],
        "isolates": False,
        "egress_vector": None,
    }


@pytest.mark.parametrize(
    ("body", "isolates"), [("5f 00 1d 00", True), ("5f 00 0d 00", False), ("04 00 04 00", True)]
)
def test_what_counts_is_what_the_function_has(body, isolates):
    assert acs(body).isolates is isolates


def test_egress_control_vector():
    assert acs("20 08 20 00 a5 ff ff ff").egress_vector == 0xA5
    assert acs("20 28 20 00 78 56 34 12 ff ff ff ff").egress_vector == 0xFF_1234_5678


def test_a_vector_size_of_0_is_256_bits():
    assert acs("20 00 20 00" + "ff" * 40).egress_vector == (1 << 256) - 1


def test_a_vector_beyond_the_space_is_refused():
    found = acs("20 00 20 00", at=0xFF0)
    with pytest.raises(ProtocolError, match="beyond the 0x1000"):
        found.facts()


def test_bits_are_those_of_the_specification():
    shared = {
        "source_validation": 0x01,
        "translation_blocking": 0x02,
        "request_redirect": 0x04,
        "completion_redirect": 0x08,
        "upstream_forwarding": 0x10,
        "egress_control": 0x20,
        "direct_translated": 0x40,
    }
    assert masks(AcsCapability) == {**shared, "enhanced": 0x80, "egress_vector_size": 0xFF00}
    assert masks(AcsControl) == {
        **shared,
        "io_request_blocking": 0x80,
        "downstream_memory_target": 0x300,
        "upstream_memory_target": 0xC00,
        "unclaimed_request_redirect": 0x1000,
    }
    assert (AcsCapability.spec.offset, AcsControl.spec.offset) == (4, 6)
