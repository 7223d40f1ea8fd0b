from __future__ import annotations

import pytest

from pymmio.errors import AccessFault, DeviceGone, ProtocolError
from pymmio.pci import Bar, BarKind, ConfigSpace, decode_bars

from .fakes import FakeConfig

# As QEMU's nvme (64-bit, 16 KiB) and e1000e (32-bit 128 KiB twice, 32 ports, 16 KiB) say it.
NVME = [0xFEBF_0004, 0, 0, 0, 0, 0]
NVME_MASKS = [0xFFFF_C004, 0xFFFF_FFFF, 0, 0, 0, 0]
E1000E = [0xFEB8_0000, 0xFEBA_0000, 0x0000_C001, 0xFEBC_0000, 0, 0]
E1000E_MASKS = [0xFFFE_0000, 0xFFFE_0000, 0xFFFF_FFE1, 0xFFFF_C000, 0, 0]


def fake_with_bars(dwords, masks, *, command=0x0107):
    fake = FakeConfig(b"", size=256)
    fake.put(0x00, 4, 0x0010_1B36)
    fake.put(0x04, 2, command)
    for index, (dword, mask) in enumerate(zip(dwords, masks, strict=True)):
        fake.put(0x10 + 4 * index, 4, dword)
        fake.put_mask(0x10 + 4 * index, 4, mask & (~0x3 if dword & 1 else ~0xF))
    # upper halves of 64-bit BARs have no type bits
    for index, dword in enumerate(dwords):
        if dword & 0x7 == 4 and index < 5:
            fake.put_mask(0x14 + 4 * index, 4, masks[index + 1])
    return fake


def test_nvme_has_one_64_bit_bar_of_16_kib():
    assert decode_bars(NVME, NVME_MASKS) == (
        Bar(0, BarKind.MEMORY64, 0xFEBF_0000, False, size=0x4000),
    )


def test_e1000e_has_memory_and_ports():
    assert decode_bars(E1000E, E1000E_MASKS) == (
        Bar(0, BarKind.MEMORY32, 0xFEB8_0000, size=0x2_0000),
        Bar(1, BarKind.MEMORY32, 0xFEBA_0000, size=0x2_0000),
        Bar(2, BarKind.IO, 0xC000, size=32),
        Bar(3, BarKind.MEMORY32, 0xFEBC_0000, size=0x4000),
    )


def test_without_masks_sizes_are_unknown_and_zero_is_left_out():
    assert decode_bars(NVME) == (Bar(0, BarKind.MEMORY64, 0xFEBF_0000),)


def test_64_bit_prefetchable_beyond_4_gib():
    (bar,) = decode_bars(
        [0, 0, 0x0000_000C, 0x0000_0040, 0, 0], [0, 0, 0x0000_000C, 0xFFFF_FFF0, 0, 0]
    )
    assert bar == Bar(2, BarKind.MEMORY64, 0x40_0000_0000, True, size=0x10_0000_0000)
    assert bar.slots == 2


def test_unassigned_bars_are_seen_through_their_masks():
    assert decode_bars([0, 0x1], [0xFFFF_F000, 0xFFFF_FFFD]) == (
        Bar(0, BarKind.MEMORY32, 0, size=0x1000),
        Bar(1, BarKind.IO, 0, size=4),
    )


def test_io_bar_with_16_address_bits():
    assert decode_bars([0xC001], [0x0000_FF01]) == (Bar(0, BarKind.IO, 0xC000, size=256),)


@pytest.mark.parametrize(
    ("dwords", "masks", "says"),
    [
        ([0, 0, 0, 0, 0, 0xFEBF_0004], None, "last of 6"),
        ([0, 0xFEBF_0004], None, "last of 2"),
        ([0xFEBF_0002], None, "type 1 is reserved"),
        ([0xFEBF_0006, 0], None, "type 3 is reserved"),
        ([0x0000_C003], None, "reserved bit 1"),
        ([0xFFFF_FFFF], None, "reserved bit 1"),
        ([0xFEBF_0000], [0], "power-of-two"),
        ([0xFEBF_0000], [0xFEBF_0000], "power-of-two"),
        ([0x8], [0x8], "power-of-two"),
        ([0x4, 0], [0x4, 0], "power-of-two"),
        ([0x4, 0], [0xFFFF_C004, 0], "power-of-two"),
        ([0xFEBF_0000], [0xFFFF_C001], "type changed"),
        ([0xFEBF_0000], [0xFFFF_C008], "type changed"),
        ([0xFEBF_1000], [0xFFFF_C000], "no multiple"),
    ],
)
def test_what_no_device_may_say_is_refused(dwords, masks, says):
    with pytest.raises(ProtocolError, match=says):
        decode_bars(dwords, masks)


def test_sizing_through_config_space_finds_sizes_and_puts_everything_back():
    fake = fake_with_bars(E1000E, E1000E_MASKS)
    before = bytes(fake.content)
    assert ConfigSpace(fake).size_bars() == decode_bars(E1000E, E1000E_MASKS)
    assert bytes(fake.content) == before


def test_decoding_is_off_while_a_bar_holds_ones():
    fake = fake_with_bars(NVME, NVME_MASKS)
    ConfigSpace(fake).size_bars()
    command = 0x0107
    for access in fake.writes:
        if access.offset == 0x04:
            assert access.width == 2  # never over STATUS
            command = access.value
        else:
            assert command == 0x0104
    assert command == 0x0107


def test_command_is_not_written_where_decoding_was_off():
    fake = fake_with_bars(NVME, NVME_MASKS, command=0x0404)
    ConfigSpace(fake).size_bars()
    assert all(access.offset >= 0x10 for access in fake.writes)


def test_a_failed_access_at_any_step_leaves_no_bar_changed_and_decoding_as_it_was_or_off():
    pristine = fake_with_bars(E1000E, E1000E_MASKS)
    ConfigSpace(pristine).size_bars()
    steps = len(pristine.log)
    for step in range(steps):
        fake = fake_with_bars(E1000E, E1000E_MASKS)
        fake.fail_at = step
        with pytest.raises(AccessFault, match="injected"):
            ConfigSpace(fake).size_bars()
        failed = pristine.log[step]
        is_restore = failed.kind == "w" and failed.offset >= 0x10 and failed.value != 0xFFFF_FFFF
        changed = {0x10 + 4 * i for i in range(6) if fake.peek(0x10 + 4 * i, 4) != E1000E[i]}
        assert changed <= ({failed.offset} if is_restore else set())
        left_off = is_restore or step == steps - 1
        assert fake.peek(0x04, 2) == (0x0104 if left_off else 0x0107)


def test_sizing_a_device_that_is_gone_writes_nothing():
    fake = FakeConfig(b"\xff" * 256)
    with pytest.raises(DeviceGone):
        ConfigSpace(fake).size_bars()
    assert fake.writes == []


def test_bridge_has_two_bars():
    fake = fake_with_bars(E1000E, E1000E_MASKS)
    fake.put(0x0E, 1, 0x01)
    assert [bar.index for bar in ConfigSpace(fake).bars()] == [0, 1]


def test_unknown_header_layout_has_no_bars_to_decode():
    fake = fake_with_bars(E1000E, E1000E_MASKS)
    fake.put(0x0E, 1, 0x03)
    with pytest.raises(ProtocolError, match="layout 0x3"):
        ConfigSpace(fake).bars()


def test_text_and_dict():
    nvme, ports = decode_bars(NVME, NVME_MASKS)[0], decode_bars([0xC001], [0xFFFF_FFE1])[0]
    assert str(nvme) == "BAR0: memory at 0xfebf0000 (64-bit, non-prefetchable) [size=16K]"
    assert str(ports) == "BAR0: I/O ports at 0xc000 [size=32]"
    assert nvme.as_dict() == {
        "index": 0,
        "kind": "mem64",
        "address": 0xFEBF_0000,
        "is_prefetchable": False,
        "size": 0x4000,
    }
