from __future__ import annotations

import json

import pytest

from pymmio.errors import DeviceGone, ProtocolError, UnsafeUpdate
from pymmio.pci import Command, ConfigSpace, HeaderLayout, InterruptPin, PciIds, Status

from .fakes import ConfigAccess, FakeConfig

# Laid out like QEMU's edu device (ids as in its docs/specs/edu), all else zero.
EDU_HEADER = bytes.fromhex(
    "34 12 e8 11 03 01 10 00 10 00 ff 00 00 00 00 00"
    "00 00 80 fe 00 00 00 00 00 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 00 00 00 00 00 f4 1a 00 11"
    "00 00 00 00 40 00 00 00 00 00 00 00 0a 01 00 00"
)


@pytest.fixture
def fake():
    return FakeConfig(EDU_HEADER)


@pytest.fixture
def config(fake):
    return ConfigSpace(fake)


def test_identity_of_edu(config):
    assert config.ids == PciIds(
        vendor_id=0x1234,
        device_id=0x11E8,
        class_code=0x00FF00,
        revision_id=0x10,
        subsystem_vendor_id=0x1AF4,
        subsystem_id=0x1100,
    )
    assert config.header_layout is HeaderLayout.ENDPOINT
    assert not config.is_multi_function
    assert config.interrupt_pin is InterruptPin.INTA
    assert config.interrupt_line == 10


def test_command_and_status_bits_are_those_of_the_specification(config):
    assert config.command == Command.IO | Command.MEMORY | Command.SERR_ENABLE
    assert config.status == Status.CAPABILITIES_LIST
    assert {flag.name: int(flag) for flag in Command} == {
        "IO": 0x001,
        "MEMORY": 0x002,
        "BUS_MASTER": 0x004,
        "SPECIAL_CYCLES": 0x008,
        "MEMORY_WRITE_INVALIDATE": 0x010,
        "VGA_PALETTE_SNOOP": 0x020,
        "PARITY_ERROR_RESPONSE": 0x040,
        "SERR_ENABLE": 0x100,
        "FAST_BACK_TO_BACK": 0x200,
        "INTX_DISABLE": 0x400,
    }
    assert {flag.name: int(flag) for flag in Status} == {
        "INTERRUPT": 0x0008,
        "CAPABILITIES_LIST": 0x0010,
        "CAPABLE_66MHZ": 0x0020,
        "FAST_BACK_TO_BACK": 0x0080,
        "MASTER_DATA_PARITY_ERROR": 0x0100,
        "DEVSEL_MEDIUM": 0x0200,
        "DEVSEL_SLOW": 0x0400,
        "SIGNALED_TARGET_ABORT": 0x0800,
        "RECEIVED_TARGET_ABORT": 0x1000,
        "RECEIVED_MASTER_ABORT": 0x2000,
        "SIGNALED_SYSTEM_ERROR": 0x4000,
        "DETECTED_PARITY_ERROR": 0x8000,
    }


def test_update_command_leaves_status_errors_alone(fake, config):
    fake.put(0x06, 2, 0xF910)
    before = config.update_command(on=Command.BUS_MASTER, off=Command.IO)
    assert before == 0x0103
    assert fake.peek(0x04, 2) == 0x0106
    assert fake.peek(0x06, 2) == 0xF910
    assert fake.writes == [ConfigAccess("w", 0x04, 2, 0x0106)]


def test_update_command_keeps_reserved_bits(fake, config):
    fake.put(0x04, 2, 0x8003)
    config.update_command(on=Command.BUS_MASTER)
    assert fake.writes == [ConfigAccess("w", 0x04, 2, 0x8007)]


def test_update_command_writes_nothing_where_nothing_changes(fake, config):
    config.update_command(on=Command.MEMORY, off=Command.BUS_MASTER)
    assert fake.writes == []


def test_command_can_be_assigned(fake, config):
    config.command = Command.MEMORY | Command.BUS_MASTER
    assert fake.writes == [ConfigAccess("w", 0x04, 2, 0x0006)]


def test_32_bit_write_over_command_and_status_is_refused(fake, config):
    with pytest.raises(UnsafeUpdate, match="STATUS"):
        config.write32(0x04, 0x0010_0107)
    assert fake.log == []


def test_clear_status_clears_only_the_given_bits(fake, config):
    fake.put(0x06, 2, 0x3010)
    config.clear_status(Status.RECEIVED_MASTER_ABORT)
    assert config.status == Status.RECEIVED_TARGET_ABORT | Status.CAPABILITIES_LIST
    assert fake.writes == [ConfigAccess("w", 0x06, 2, 0x2000)]


def test_bridge_has_no_subsystem_in_the_header(fake, config):
    fake.put(0x0E, 1, 0x81)
    assert config.header_layout is HeaderLayout.BRIDGE
    assert config.is_multi_function
    assert config.subsystem_vendor_id == 0
    assert config.subsystem_id == 0


def test_unknown_layout_and_pin_stay_numbers(fake, config):
    fake.put(0x0E, 1, 0x7E)
    fake.put(0x3D, 1, 9)
    assert config.header_layout == 0x7E
    assert config.interrupt_pin == 9


def test_all_ones_means_gone(fake, config):
    config.check_present()
    fake.content[:] = b"\xff" * fake.size
    with pytest.raises(DeviceGone):
        config.check_present()


def test_a_virtual_function_with_all_ones_ids_is_present(fake, config):
    fake.put(0x00, 4, 0xFFFF_FFFF)
    config.check_present()


@pytest.mark.parametrize("size", [0, 64, 255, 4095, 8192])
def test_sizes_that_pci_does_not_know_are_refused(size):
    with pytest.raises(ProtocolError, match=str(size)):
        ConfigSpace(FakeConfig(b"", size=size))


def test_dump_reads_four_bytes_at_a_time(fake, config):
    assert config.dump() == bytes(fake.content)
    assert {access.width for access in fake.log} == {4}
    assert len(fake.log) == 64


def test_as_dict_is_ready_for_json(fake, config):
    fake.put(0x04, 2, 0x8106)
    shown = config.as_dict()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["command"] == ["MEMORY", "BUS_MASTER", "SERR_ENABLE", "bit 15"]
    assert shown["status"] == ["CAPABILITIES_LIST"]
    assert shown["bars"] == [
        {
            "index": 0,
            "kind": "mem32",
            "address": 0xFE80_0000,
            "is_prefetchable": False,
            "size": None,
        }
    ]
    assert fake.writes == []
