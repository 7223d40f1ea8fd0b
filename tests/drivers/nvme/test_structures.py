"""Identify and log structures pinned to byte offsets of NVMe Base 2.0 and NVM Command Set 1.0."""

from __future__ import annotations

import struct

import pytest

from pymmio.errors import ProtocolError
from pymmio_drivers.nvme import structures as s


def put(size, *items):
    data = bytearray(size)
    for offset, value in items:
        data[offset : offset + len(value)] = value
    return bytes(data)


def test_identify_controller_bytes():
    data = put(
        4096,
        (0, b"\x36\x1b"), (2, b"\xf4\x1a"), (4, b"SERIAL".ljust(20)), (24, b"MODEL".ljust(40)),
        (64, b"1.0".ljust(8)), (72, b"\x06"), (73, b"\x00\x54\x52"), (77, b"\x07"),
        (78, b"\x34\x12"), (80, b"\x00\x04\x01\x00"), (84, struct.pack("<I", 84)),
        (88, struct.pack("<I", 5_000_000)), (92, struct.pack("<I", 0x100)), (111, b"\x01"),
        (256, struct.pack("<H", 0b11010)), (258, b"\x03"), (259, b"\x04"), (261, b"\x04"),
        (262, b"\x3f"), (263, b"\x01"), (266, struct.pack("<H", 343)),
        (268, struct.pack("<H", 373)), (280, (1 << 70).to_bytes(16, "little")),
        (512, b"\x66"), (513, b"\x44"), (514, b"\x10\x00"), (516, struct.pack("<I", 256)),
        (520, struct.pack("<H", 0b1101)), (525, b"\x07"), (526, struct.pack("<H", 9)),
        (768, b"nqn.2014-08.org.example:x"), (2048 + 32, struct.pack("<H", 2500)),
    )  # fmt: skip
    c = s.IdentifyController.parse(data)
    assert (c.vid, c.ssvid, c.sn, c.mn, c.fr) == (0x1B36, 0x1AF4, "SERIAL", "MODEL", "1.0")
    assert (c.rab, c.ieee, c.mdts, c.cntlid, c.ver) == (6, b"\0\x54\x52", 7, 0x1234, 0x10400)
    assert (c.rtd3r, c.rtd3e, c.oaes, c.cntrltype) == (84, 5_000_000, 0x100, 1)
    assert (c.oacs_security, c.oacs_format, c.oacs_firmware) == (0, 1, 0)
    assert (c.oacs_ns_management, c.oacs_self_test) == (1, 1)
    assert (c.acl, c.aerl, c.lpa_extended, c.elpe, c.npss) == (3, 4, 1, 63, 1)
    assert (c.wctemp, c.cctemp, c.tnvmcap) == (343, 373, 1 << 70)
    assert (c.sqes_min, c.sqes_max, c.cqes_min, c.cqes_max) == (6, 6, 4, 4)
    assert (c.maxcmd, c.nn) == (16, 256)
    assert (c.oncs_compare, c.oncs_write_uncorrectable) == (1, 0)
    assert (c.oncs_dataset_management, c.oncs_write_zeroes) == (1, 1)
    assert (c.vwc_present, c.awun, c.subnqn) == (1, 9, "nqn.2014-08.org.example:x")
    assert c.psd[1].mp == 2500


def test_identify_namespace_bytes():
    data = put(
        4096,
        (0, struct.pack("<QQQ", 1 << 40, 2, 3)), (24, b"\x01"), (25, b"\x03"), (26, b"\x12"),
        (27, b"\x01"), (28, b"\x11"), (29, b"\x0a"), (46, b"\x80\0"), (99, b"\x01"),
        (104, bytes(range(16))), (120, bytes(range(8))),
        (128, bytes([0, 0, 9, 0])), (132, bytes([8, 0, 9, 1])), (136, bytes([0, 0, 12, 2])),
    )  # fmt: skip
    n = s.IdentifyNamespace.parse(data)
    assert (n.nsze, n.ncap, n.nuse, n.thin, n.nlbaf) == (1 << 40, 2, 3, 1, 3)
    assert (n.flbas_low, n.flbas_extended, n.format_index) == (2, 1, 2)
    assert (n.mc, n.dpc, n.dps, n.pi_type, n.noiob, n.write_protected) == (1, 0x11, 10, 2, 128, 1)
    assert (n.nguid, n.eui64) == (bytes(range(16)), bytes(range(8)))
    assert [(f.ms, f.lbads, f.rp) for f in n.lbaf[:3]] == [(0, 9, 0), (8, 9, 1), (0, 12, 2)]


def test_upper_bits_of_the_format_index_count_only_with_many_formats():
    few = put(4096, (25, b"\x03"), (26, b"\x22"))
    many = put(4096, (25, b"\x20"), (26, b"\x22"))
    assert s.IdentifyNamespace.parse(few).format_index == 2
    assert s.IdentifyNamespace.parse(many).format_index == 0x12


def test_smart_log_bytes():
    data = put(
        512,
        (0, b"\x04"), (1, struct.pack("<H", 310)), (3, b"\x64\x0a\x05"),
        (32, (3).to_bytes(16, "little")), (48, (1 << 64).to_bytes(16, "little")),
        (64, b"\x07"), (80, b"\x08"), (96, b"\x09"), (112, b"\x0b"), (128, b"\x0c"),
        (144, b"\x0d"), (160, b"\x0e"), (176, b"\x0f"), (192, b"\x10"), (196, b"\x11"),
        (200, struct.pack("<8H", *range(300, 308))),
    )  # fmt: skip
    log = s.SmartLog.parse(data)
    assert (log.critical_warning, log.composite_temperature) == (4, 310)
    assert (log.available_spare, log.available_spare_threshold, log.percentage_used) == (100, 10, 5)
    assert (log.data_units_read, log.data_units_written) == (3, 1 << 64)
    assert (log.host_read_commands, log.host_write_commands, log.controller_busy_time) == (7, 8, 9)
    assert (log.power_cycles, log.power_on_hours, log.unsafe_shutdowns) == (11, 12, 13)
    assert (log.media_errors, log.error_log_entries) == (14, 15)
    assert (log.warning_temperature_time, log.critical_temperature_time) == (16, 17)
    assert log.temperature_sensors == tuple(range(300, 308))


def test_error_log_and_firmware_log_bytes():
    entry = s.ErrorLogEntry.parse(
        struct.pack("<QHHHHQIB", 5, 1, 0x42, 0x80 << 1 | 1, 10, 1000, 1, 0) + bytes(35)
    )
    assert (entry.error_count, entry.sqid, entry.cid, entry.status) == (5, 1, 0x42, 0x80)
    assert (entry.parameter_error_location, entry.lba, entry.nsid) == (10, 1000, 1)
    log = s.FirmwareSlotLog.parse(put(512, (0, b"\x21"), (8, b"1.0     "), (16, b"2.0     ")))
    assert (log.active_slot, log.next_slot, log.slot1, log.slot2) == (1, 2, "1.0", "2.0")


def test_active_namespace_list_ends_at_zero():
    assert s.parse_active_namespaces(struct.pack("<3I", 1, 7, 9) + bytes(4084)) == (1, 7, 9)
    assert s.parse_active_namespaces(bytes(4096)) == ()
    assert len(s.parse_active_namespaces(struct.pack("<1024I", *range(1, 1025)))) == 1024


@pytest.mark.parametrize("ids", [(5, 5), (5, 4), (0xFFFFFFFF,)])
def test_active_namespace_list_that_does_not_ascend_is_refused(ids):
    data = struct.pack(f"<{len(ids)}I", *ids)
    with pytest.raises(ProtocolError):
        s.parse_active_namespaces(data + bytes(4096 - len(data)))


def test_namespace_descriptors():
    uuid = bytes(range(16))
    data = bytes([3, 16, 0, 0]) + uuid + bytes([1, 8, 0, 0]) + b"EUI64EUI" + bytes([4, 1, 0, 0, 0])
    ids = s.parse_namespace_ids(data + bytes(4096 - len(data)))
    assert [(i.kind, i.value) for i in ids] == [
        ("uuid", uuid),
        ("eui64", b"EUI64EUI"),
        ("csi", b"\0"),
    ]
    assert str(ids[0]) == "00010203-0405-0607-0809-0a0b0c0d0e0f"


@pytest.mark.parametrize("head", [bytes([3, 17, 0, 0]), bytes([2, 8, 0, 0]), bytes([9, 255, 0, 0])])
def test_namespace_descriptor_with_a_wrong_length_is_refused(head):
    with pytest.raises(ProtocolError):
        s.parse_namespace_ids(head + bytes(40))
