"""What no careful program sends is a ProtocolError, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from pymmio.backend.vfio_user import messages as m
from pymmio.errors import ProtocolError

BIG32, BIG64 = (1 << 32) - 1, (1 << 64) - 1


def host(form: str, *values: int) -> bytes:
    return struct.pack("=" + form, *values)


def chain(first: int, *rest: bytes, size: int = 0x4000, needed: int | None = None) -> bytes:
    body = b"".join(rest)
    whole = 32 + len(body) if needed is None else needed
    return host("IIIIQQ", whole, 0xF, 0, first, size, 0) + body


SPARSE = host("HHIII", 1, 1, 0, 1, 0)
AREA = host("QQ", 0, 0x1000)

REFUSED: list[tuple[str, Callable[[bytes], object], bytes]] = [
    ("no header", m.Header.parse, bytes(15)),
    ("size below header", m.Header.parse, host("HHIII", 1, 1, 15, 0, 0)),
    ("type", m.Header.parse, host("HHIII", 1, 1, 16, 2, 0)),
    ("command with error", m.Header.parse, host("HHIII", 1, 1, 16, 0x20, 0)),
    ("short info", m.DeviceInfo.parse, bytes(15)),
    ("info without room", m.DeviceInfo.parse, host("IIII", 15, 0, 0, 0)),
    ("short request", m.RegionInfoRequest.parse, bytes(31)),
    ("request without room", m.RegionInfoRequest.parse, host("IIIIQQ", 31, 0, 0, 0, 0, 0)),
    ("short region", m.RegionInfoReply.parse, bytes(31)),
    ("region of no size", m.RegionInfoReply.parse, host("IIIIQQ", 0, 0, 0, 0, 0, 0)),
    ("file end", m.RegionInfoReply.parse, host("IIIIQQ", 32, 7, 0, 0, 0x1000, BIG64)),
    ("chain into the head", m.RegionInfoReply.parse, chain(16, SPARSE, AREA)),
    ("chain outside", m.RegionInfoReply.parse, chain(0x1000, SPARSE, AREA)),
    ("chain at the end", m.RegionInfoReply.parse, chain(60, SPARSE, AREA)),
    ("chain unaligned", m.RegionInfoReply.parse, chain(33, SPARSE, AREA)),
    ("chain to itself", m.RegionInfoReply.parse, chain(32, host("HHI", 9, 1, 32))),
    (
        "chain in a circle",
        m.RegionInfoReply.parse,
        chain(32, host("HHI", 9, 1, 40), host("HHI", 9, 1, 32)),
    ),
    ("areas without count", m.RegionInfoReply.parse, chain(32, host("HHI", 1, 1, 0))),
    ("too many areas", m.RegionInfoReply.parse, chain(32, host("HHIII", 1, 1, 0, 2, 0), AREA)),
    ("areas", m.RegionInfoReply.parse, chain(32, host("HHIII", 1, 1, 0, BIG32, 0), AREA)),
    ("area outside", m.RegionInfoReply.parse, chain(32, SPARSE, host("QQ", 0x4000, 1))),
    ("area wraps", m.RegionInfoReply.parse, chain(32, SPARSE, host("QQ", BIG64, 0x1000))),
    ("area too long", m.RegionInfoReply.parse, chain(32, SPARSE, host("QQ", 0, BIG64))),
    ("type cut off", m.RegionInfoReply.parse, chain(32, host("HHII", 2, 1, 0, 1))),
    ("short irq", m.IrqInfo.parse, bytes(12)),
    ("irq without room", m.IrqInfo.parse, host("IIII", 3, 0, 0, 0)),
    ("short map", m.DmaMap.parse, bytes(31)),
    ("map of nothing", m.DmaMap.parse, host("IIQQQ", 32, 3, 0, 0, 0)),
    ("map wraps", m.DmaMap.parse, host("IIQQQ", 32, 3, 0, BIG64, 2)),
    ("map behind the file", m.DmaMap.parse, host("IIQQQ", 32, 3, 1 << 63, 0, 1)),
    ("map argsz", m.DmaMap.parse, host("IIQQQ", 31, 3, 0, 0, 1)),
    ("short unmap", m.DmaUnmap.parse, bytes(23)),
    ("unmap wraps", m.DmaUnmap.parse, host("IIQQ", 24, 0, BIG64, BIG64)),
    ("unmap argsz", m.DmaUnmap.parse, host("IIQQ", 1, 0, 0, 0)),
    ("dma read", m.DmaRequest.parse, bytes(17)),
    ("dma read wraps", m.DmaRequest.parse, host("QQ", BIG64, 2)),
    ("dma data", m.DmaData.parse, host("QQ", 0, 2) + b"a"),
    ("dma data more", m.DmaData.parse, host("QQ", 0, 2) + b"abc"),
    ("dma data wraps", m.DmaData.parse, host("QQ", BIG64, 3) + b"abc"),
    ("dma data short", m.DmaData.parse, bytes(15)),
    ("dma written", m.DmaRequest.parse_written, bytes(13)),
    ("access", m.RegionRequest.parse, bytes(15)),
    ("access wraps", m.RegionRequest.parse, host("QII", BIG64, 0, 2)),
    ("data", m.RegionData.parse, host("QII", 0, 0, 4) + b"abc"),
    ("data more", m.RegionData.parse, host("QII", 0, 0, 2) + b"abc"),
    ("data count", m.RegionData.parse, host("QII", 0, 0, BIG32)),
    ("multi short", m.WriteMulti.parse, bytes(7)),
    ("multi count", m.WriteMulti.parse, host("Q", 2) + bytes(24)),
    ("multi huge", m.WriteMulti.parse, host("Q", BIG64)),
    ("multi odd", m.WriteMulti.parse, host("Q", 1) + bytes(25)),
    ("multi of 9 bytes", m.WriteMulti.parse, host("QQIIQ", 1, 0, 0, 9, 0)),
    ("multi of 0 bytes", m.WriteMulti.parse, host("QQIIQ", 1, 0, 0, 0, 0)),
    ("multi wraps", m.WriteMulti.parse, host("QQIIQ", 1, BIG64, 0, 8, 0)),
    ("multi reply", m.WriteMultiReply.parse, bytes(4)),
    ("io fds", m.IoFdsRequest.parse, bytes(12)),
    ("io fds flags", m.IoFdsRequest.parse, host("IIII", 16, 1, 0, 0)),
    ("io fds count", m.IoFdsRequest.parse, host("IIII", 16, 0, 0, 1)),
    ("io fds room", m.IoFdsRequest.parse, host("IIII", 15, 0, 0, 0)),
    ("feature", m.DeviceFeature.parse, bytes(7)),
    ("feature nothing", m.DeviceFeature.parse, host("II", 8, 1)),
    ("feature both", m.DeviceFeature.parse, host("II", 8, 1 | 3 << 16)),
    ("feature flags", m.DeviceFeature.parse, host("II", 8, 1 << 20 | 1 << 16)),
    ("migration", m.MigrationData.parse, host("II", 8, 5) + b"abc"),
    ("version", m.Version.parse, bytes(3)),
]


@pytest.mark.parametrize(
    ("parse", "data"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused(parse: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(data)


@pytest.mark.parametrize(
    ("data", "fds"),
    [
        (bytes(19), 0),
        (host("IIIII", 20, 0x20, 0, 0, 0), 0),
        (host("IIIII", 20, 0x23, 0, 0, 0), 0),
        (host("IIIII", 20, 0x19, 0, 0, 0), 0),
        (host("IIIII", 20, 0x61, 0, 0, 0), 0),
        (host("IIIII", 20, 0x01, 0, 0, 0), 0),
        (host("IIIII", 21, 0x21, 0, 0, 0), 0),
        (host("IIIII", 19, 0x21, 0, 0, 0), 0),
        (host("IIIII", 20, 0x21, 0, 2, BIG32), 0),
        (host("IIIII", 20, 0x21, 0, 0, 1), 1),
        (host("IIIII", 20, 0x24, 0, 0, 2), 1),
        (host("IIIII", 20, 0x24, 0, 0, 2), 3),
        (host("IIIII", 20, 0x22, 0, 0, 2) + b"\1", 0),
        (host("IIIII", 20, 0x22, 0, 0, BIG32) + b"\1", 0),
    ],
)
def test_set_irqs_refused(data: bytes, fds: int) -> None:
    with pytest.raises(ProtocolError):
        m.SetIrqs.parse(data, fds)


def io_fds(needed: int, count: int, *entries: bytes, flags: int = 0) -> bytes:
    return host("IIII", needed, flags, 0, count) + b"".join(entries)


ENTRY = host("QQIIIIQ", 0, 4, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        bytes(15),
        io_fds(15, 0),
        io_fds(16, 0, flags=1),
        io_fds(56, 2, ENTRY),
        io_fds(57, 1, ENTRY, b"x") and io_fds(56, BIG32, ENTRY),
        io_fds(56, 1, host("QQIIIIQ", 0x1000, 4, 0, 0, 0, 0, 0)),
        io_fds(56, 1, host("QQIIIIQ", BIG64, 4, 0, 0, 0, 0, 0)),
        io_fds(56, 1, host("QQIIIIQ", 0, BIG64, 0, 0, 0, 0, 0)),
        io_fds(56, 1, host("QQIIIIQ", 0, 4, 1, 0, 0, 0, 0)),
        io_fds(64, 1, host("QQIIIIQQ", 0, 4, 0, 2, 0, 1, 0, 0)),
    ],
)
def test_io_fds_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        m.IoFdsReply.parse(data, 1, 0x1000)


@pytest.mark.parametrize(
    "text",
    [
        b"x",
        b"[]",
        b"3",
        b"null",
        b'{"capabilities": []}',
        b'{"capabilities": 1}',
        b'{"capabilities": {"max_msg_fds": "8"}}',
        b'{"capabilities": {"max_msg_fds": -1}}',
        b'{"capabilities": {"max_msg_fds": true}}',
        b'{"capabilities": {"max_msg_fds": 1.5}}',
        b'{"capabilities": {"max_msg_fds": 1e400}}',
        b'{"capabilities": {"max_data_xfer_size": 0}}',
        b'{"capabilities": {"max_data_xfer_size": 18446744073709551616}}',
        b'{"capabilities": {"max_dma_maps": ' + b"9" * 5000 + b"}}",
        b'{"capabilities": {"pgsizes": 0}}',
        b'{"capabilities": {"pgsizes": null}}',
        b'{"capabilities": {"twin_socket": true}}',
        b'{"capabilities": {"twin_socket": {"supported": 1}}}',
        b'{"capabilities": {"twin_socket": {"supported": true, "fd_index": -1}}}',
        b'{"capabilities": {"write_multiple": "yes"}}',
        b'{"capabilities": {"migration": 4096}}',
        b'{"capabilities": {"migration": {"pgsize": 0}}}',
        b'{"a": "\xff"}',
        b"{}\0\0",
        b'{"a": ' + b"[" * 20 + b"]" * 20 + b"}",
        b"[" * 8000,
        b'{"a": "' + b"x" * 20000 + b'"}',
    ],
)
def test_capabilities_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        m.Version.parse(host("HH", 0, 1) + text)
