from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci import ConfigSpace
from pymmio.pci.extcaps import Aer, aer

from .. import dumps, spaces
from .builders import masks, only, space_with


def aer_of(fake) -> Aer:
    found = ConfigSpace(fake).extended_capability(Aer)
    assert found is not None
    return found


def test_e1000e_of_qemu():
    assert aer_of(spaces.literal(dumps.E1000E, 4096)).facts() == {
        "uncorrectable_status": [],
        "uncorrectable_mask": [],
        "uncorrectable_severity": [
            "data_link_protocol",
            "surprise_down",
            "flow_control_protocol",
            "receiver_overflow",
            "malformed_tlp",
            "uncorrectable_internal",
        ],
        "correctable_status": [],
        "correctable_mask": ["advisory_non_fatal", "corrected_internal", "header_log_overflow"],
        "first_error": None,
        "header_log": [0, 0, 0, 0],
    }


def test_root_port_of_qemu_has_the_root_registers():
    facts = aer_of(spaces.literal(dumps.ROOT_PORT, 4096)).facts()
    assert facts["root_command"] == []
    assert facts["root_status"] == []
    assert facts["root_source"] == {"correctable": "00:00.0", "uncorrectable": "00:00.0"}


def test_an_error_with_its_packet():
    fake = spaces.literal(dumps.E1000E, 4096)
    fake.put(0x104, 4, 1 << 20 | 1 << 14)
    fake.put(0x110, 4, 0x41)
    fake.put(0x118, 4, 0xB4)  # first error: bit 20
    for index, dword in enumerate((0x4000_0001, 0x0000_000F, 0xFEBF_0000, 0x1234_5678)):
        fake.put(0x11C + 4 * index, 4, dword)
    found = aer_of(fake)
    assert found.first_error == "unsupported_request"
    assert found.header_log == (0x4000_0001, 0xF, 0xFEBF_0000, 0x1234_5678)
    assert found.facts()["uncorrectable_status"] == ["completion_timeout", "unsupported_request"]
    assert found.facts()["correctable_status"] == ["receiver", "bad_tlp"]
    assert "header_log=0x40000001,0xf,0xfebf0000,0x12345678" in str(found)


def test_the_pointer_means_nothing_while_its_bit_is_clear():
    fake = spaces.literal(dumps.E1000E, 4096)
    fake.put(0x118, 4, 0x14)
    fake.put(0x104, 4, 1 << 14)
    assert aer_of(fake).first_error is None
    fake.put(0x118, 4, 0x1F)  # a bit that has no name
    fake.put(0x104, 4, 1 << 31)
    assert aer_of(fake).first_error == "bit 31"


def test_root_registers_after_an_error():
    fake = spaces.literal(dumps.ROOT_PORT, 4096)
    fake.put(0x12C, 4, 0b111)
    fake.put(0x130, 4, 0xF800_0045)
    fake.put(0x134, 4, 0x0300_01A7)
    facts = aer_of(fake).facts()
    assert facts["root_command"] == ["correctable", "non_fatal", "fatal"]
    assert facts["root_status"] == ["correctable", "uncorrectable", "fatal"]
    assert facts["root_source"] == {"correctable": "01:14.7", "uncorrectable": "03:00.0"}


def test_a_damaged_first_list_does_not_hide_it():
    fake = spaces.literal(dumps.ROOT_PORT, 4096)
    fake.put(0x34, 1, 0x10)
    assert not aer_of(fake).is_root
    assert "first_error" in aer_of(fake).as_dict()


def test_a_capability_that_reaches_beyond_the_space_is_refused():
    found = only(space_with(0x0001, "00" * 8, at=0xFF0))
    with pytest.raises(ProtocolError, match="beyond the 0x1000 bytes"):
        found.facts()
    assert "beyond the 0x1000" in str(found.as_dict()["error"])
    assert str(found).startswith("[ff0 v1] AER: not decoded: ")


def test_bits_are_those_of_the_specification():
    uncorrectable = {
        "data_link_protocol": 1 << 4,
        "surprise_down": 1 << 5,
        "poisoned_tlp": 1 << 12,
        "flow_control_protocol": 1 << 13,
        "completion_timeout": 1 << 14,
        "completer_abort": 1 << 15,
        "unexpected_completion": 1 << 16,
        "receiver_overflow": 1 << 17,
        "malformed_tlp": 1 << 18,
        "ecrc": 1 << 19,
        "unsupported_request": 1 << 20,
        "acs_violation": 1 << 21,
        "uncorrectable_internal": 1 << 22,
        "mc_blocked_tlp": 1 << 23,
        "atomicop_egress_blocked": 1 << 24,
        "tlp_prefix_blocked": 1 << 25,
        "poisoned_tlp_egress_blocked": 1 << 26,
    }
    for register in (
        aer.UncorrectableStatus,
        aer.UncorrectableMask,
        aer.UncorrectableSeverity,
    ):
        assert masks(register) == uncorrectable
    correctable = {
        "receiver": 0x0001,
        "bad_tlp": 0x0040,
        "bad_dllp": 0x0080,
        "replay_num_rollover": 0x0100,
        "replay_timer_timeout": 0x1000,
        "advisory_non_fatal": 0x2000,
        "corrected_internal": 0x4000,
        "header_log_overflow": 0x8000,
    }
    for register in (aer.CorrectableStatus, aer.CorrectableMask):
        assert masks(register) == correctable
    assert masks(aer.AerControl) == {
        "first_error": 0x001F,
        "ecrc_generation_capable": 0x0020,
        "ecrc_generation": 0x0040,
        "ecrc_check_capable": 0x0080,
        "ecrc_check": 0x0100,
        "multiple_header_capable": 0x0200,
        "multiple_header": 0x0400,
        "prefix_log_present": 0x0800,
        "completion_timeout_log_capable": 0x1000,
    }
    assert masks(aer.RootErrorStatus)["interrupt_message"] == 0xF800_0000
    assert [
        register.spec.offset
        for register in (
            aer.UncorrectableStatus,
            aer.UncorrectableMask,
            aer.UncorrectableSeverity,
            aer.CorrectableStatus,
            aer.CorrectableMask,
            aer.AerControl,
            aer.RootErrorCommand,
            aer.RootErrorStatus,
            aer.RootErrorSource,
        )
    ] == [0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x2C, 0x30, 0x34]
