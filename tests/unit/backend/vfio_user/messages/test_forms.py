"""Each message against the numbers of the document: offsets, sizes, values."""

from __future__ import annotations

import struct

import pytest

from pymmio.backend.vfio_user import messages as m


def host(form: str, *values: int) -> bytes:
    """Pack in the order of the host, without padding."""
    return struct.pack("=" + form, *values)


CASES = [
    (m.Header(0x1234, 9, 32, 0x1, 5), host("HHIII", 0x1234, 9, 32, 1, 5)),
    (m.DeviceInfo(2, 9, 5), host("IIII", 16, 2, 9, 5)),
    (m.RegionInfoRequest(3, 64), host("IIIIQQ", 64, 0, 3, 0, 0, 0)),
    (m.IrqInfo(2, 0x9, 33), host("IIII", 16, 9, 2, 33)),
    (
        m.DmaMap(0x10000, 0x2000, 0x3000),
        host("IIQQQ", 32, 3, 0x3000, 0x10000, 0x2000),
    ),
    (m.DmaUnmap(0x10000, 0x2000), host("IIQQ", 24, 0, 0x10000, 0x2000)),
    (m.DmaRequest(0x10000, 8), host("QQ", 0x10000, 8)),
    (m.DmaData(0x10000, b"abc"), host("QQ", 0x10000, 3) + b"abc"),
    (m.RegionRequest(7, 0x40, 2), host("QII", 0x40, 7, 2)),
    (m.RegionData(7, 0x40, b"ab"), host("QII", 0x40, 7, 2) + b"ab"),
    (
        m.WriteMulti((m.RegionData(0, 8, b"abcd"), m.RegionData(2, 16, b"x"))),
        host("QQII", 2, 8, 0, 4) + b"abcd\0\0\0\0" + host("QII", 16, 2, 1) + b"x" + bytes(7),
    ),
    (m.WriteMultiReply(3), host("Q", 3)),
    (m.IoFdsRequest(0, 96), host("IIII", 96, 0, 0, 0)),
    (
        m.DeviceFeature(1, m.FeatureFlags.GET, b"\1\2", 10),
        host("II", 10, 1 | 1 << 16) + b"\1\2",
    ),
    (m.MigrationData(3, b"abc"), host("II", 11, 3) + b"abc"),
]


@pytest.mark.parametrize(("message", "data"), CASES, ids=lambda one: type(one).__name__)
def test_forms(message: object, data: bytes) -> None:
    assert message.pack() == data  # type: ignore[attr-defined]
    assert type(message).parse(data) == message  # type: ignore[attr-defined]


def test_commands_have_the_numbers_of_the_document() -> None:
    assert {command.name: command.value for command in m.Command} == {
        "VERSION": 1,
        "DMA_MAP": 2,
        "DMA_UNMAP": 3,
        "DEVICE_GET_INFO": 4,
        "DEVICE_GET_REGION_INFO": 5,
        "DEVICE_GET_REGION_IO_FDS": 6,
        "DEVICE_GET_IRQ_INFO": 7,
        "DEVICE_SET_IRQS": 8,
        "REGION_READ": 9,
        "REGION_WRITE": 10,
        "DMA_READ": 11,
        "DMA_WRITE": 12,
        "DEVICE_RESET": 13,
        "REGION_WRITE_MULTI": 15,
        "DEVICE_FEATURE": 16,
        "MIG_DATA_READ": 17,
        "MIG_DATA_WRITE": 18,
    }


def test_the_reply_to_a_dma_write_has_a_count_of_four_or_eight_bytes() -> None:
    for form in ("QQ", "QI"):
        assert m.DmaRequest.parse_written(host(form, 0x1000, 7)) == m.DmaRequest(0x1000, 7)


@pytest.mark.parametrize(
    ("flags", "wants_reply", "is_reply"), [(0, True, False), (0x10, False, False), (1, False, True)]
)
def test_who_wants_a_reply(flags: int, wants_reply: bool, is_reply: bool) -> None:
    header = m.Header(1, 2, 16, flags)
    assert (header.wants_reply, header.is_reply) == (wants_reply, is_reply)


def test_replies_carry_number_and_command() -> None:
    header = m.Header(5, 9, 32)
    assert header.reply(20) == m.Header(5, 9, 36, 0x1)
    assert header.error_reply(22) == m.Header(5, 9, 16, 0x21, 22)


def test_set_irqs() -> None:
    bools = m.SetIrqs(2, m.IrqData.BOOL, m.IrqAction.MASK, 1, 3, (True, False, True))
    assert bools.pack() == host("IIIII", 23, 0x0A, 2, 1, 3) + b"\1\0\1"
    assert m.SetIrqs.parse(bools.pack(), 0) == bools
    events = m.SetIrqs(0, m.IrqData.EVENTFD, m.IrqAction.TRIGGER, 0, 2)
    assert events.pack() == host("IIIII", 20, 0x24, 0, 0, 2)
    assert m.SetIrqs.parse(events.pack(), 2) == events
    assert m.SetIrqs.parse(events.pack(), 0) == events  # takes them away


def test_region_info_with_its_chain() -> None:
    reply = m.RegionInfoReply(
        1, 0x8000, 0xF, 0x10000,
        (m.SparseArea(0x1000, 0x2000), m.SparseArea(0x4000, 0x1000)),
        m.RegionType(3, 1), True, 32 + 48 + 16 + 8,
    )  # fmt: skip
    data = (
        host("IIIIQQ", 104, 0xF, 1, 32, 0x8000, 0x10000)
        + host("HHIII", 1, 1, 80, 2, 0)
        + host("QQQQ", 0x1000, 0x2000, 0x4000, 0x1000)
        + host("HHIII", 2, 1, 96, 3, 1)
        + host("HHI", 3, 1, 0)
    )
    assert reply.pack() == data
    assert m.RegionInfoReply.parse(data) == reply
    short = m.RegionInfoReply.parse(reply.pack(room=103))
    assert (len(reply.pack(room=103)), short.needed, short.areas) == (32, 104, None)


def test_descriptors_of_a_region_in_both_forms() -> None:
    plain = m.IoFdsReply(0, (m.IoFd(0x1000, 4, 0, 0, 1, 99),), 56)
    data = host("IIII", 56, 0, 0, 1) + host("QQIIIIQ", 0x1000, 4, 0, 0, 1, 0, 99)
    assert plain.pack() == data
    assert m.IoFdsReply.parse(data, 1, 0x2000) == plain
    shadow = m.IoFdsReply(0, (m.IoFd(8, 4, 1, 2, 0, 0, 2, 0x40),), 64)
    data = host("IIII", 64, 0, 0, 1) + host("QQIIIIQQ", 8, 4, 1, 2, 0, 2, 0x40, 0)
    assert shadow.pack() == data
    assert m.IoFdsReply.parse(data, 3, 0x2000) == shadow
    assert m.IoFdsReply.parse(shadow.pack(room=63), 0, 0x2000) == m.IoFdsReply(0, (), 64)


def test_version_and_capabilities() -> None:
    said = m.Version(
        0, 1,
        m.Capabilities(8, 4096, 64, 0x201000, m.TwinSocket(True, 0), True, 4096),
    )  # fmt: skip
    text = (
        b'{"capabilities": {"max_msg_fds": 8, "max_data_xfer_size": 4096, "max_dma_maps": 64, '
        b'"pgsizes": 2101248, "write_multiple": true, "twin_socket": {"supported": true, '
        b'"fd_index": 0}, "migration": {"pgsize": 4096}}}\0'
    )
    assert said.pack() == host("HH", 0, 1) + text
    assert m.Version.parse(said.pack()) == said


@pytest.mark.parametrize("text", [b"", b"\0", b"{}", b"{}\0", b'{"capabilities": {}}', b'{"x": 1}'])
def test_what_is_left_out_has_its_default(text: bytes) -> None:
    found = m.Version.parse(host("HH", 0, 0) + text).capabilities
    assert found == m.Capabilities(1, 1 << 20, 65535, 4096, m.TwinSocket(False, None), False, None)
