"""Identify data at the byte offsets of Base 1.4 §5.15.2."""

from __future__ import annotations

import struct

import pytest

from .nvme_driver import SUCCESS, Driver


def u16(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 2], "little")


def u32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def u64(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 8], "little")


def test_controller() -> None:
    data = Driver(serial="ABC123", mdts="5", aerl="7", ns="2", nn="16").identify(0x01)
    assert (u16(data, 0), u16(data, 2)) == (0x1B36, 0x1AF4)  # VID, SSVID
    assert data[4:24] == b"ABC123" + b" " * 14  # SN
    assert data[24:64].rstrip() == b"pymmio NVMe model"  # MN
    assert data[64:72] == b"1.0     "  # FR
    assert data[77] == 5  # MDTS
    assert u32(data, 80) == 0x00010400  # VER
    assert u32(data, 92) == 0x100  # OAES: namespace attribute notices
    assert data[111] == 1  # CNTRLTYPE: I/O controller
    assert u16(data, 256) == 0x0002  # OACS: Format NVM
    assert data[259] == 7  # AERL
    assert data[261] == 0x07  # LPA
    assert data[262] == 63  # ELPE
    assert data[263] == 0  # NPSS
    assert (data[512], data[513]) == (0x66, 0x44)  # SQES, CQES
    assert u32(data, 516) == 16  # NN
    assert u16(data, 520) == 0x005F  # ONCS
    assert u16(data, 522) == 0  # FUSES
    assert data[525] == 0x07  # VWC
    assert u32(data, 536) == 0  # SGLS
    assert data[768:1024].rstrip(b"\0").startswith(b"nqn.2014-08.org.nvmexpress:uuid:")
    assert u64(data, 280) == 2 * (16 << 20)  # TNVMCAP


@pytest.mark.parametrize(("block_size", "lbaf"), [(512, 0), (4096, 1)])
def test_namespace(block_size: int, lbaf: int) -> None:
    data = Driver(size="8M", block_size=str(block_size)).identify(0x00, 1)
    blocks = (8 << 20) // block_size
    assert (u64(data, 0), u64(data, 8), u64(data, 16)) == (blocks,) * 3  # NSZE, NCAP, NUSE
    assert data[25] == 1  # NLBAF: two formats
    assert data[26] == lbaf  # FLBAS
    assert data[33] == 1  # DLFEAT: zeroes
    assert struct.unpack_from("<HBB", data, 128) == (0, 9, 0)
    assert struct.unpack_from("<HBB", data, 132) == (0, 12, 0)
    assert data[136:] == bytes(4096 - 136)
    assert data[120:128] != bytes(8)  # EUI64


def test_an_inactive_namespace_is_all_zero() -> None:
    driver = Driver()
    assert driver.identify(0x00, 77) == bytes(4096)
    assert driver.identify(0x11, 77) == bytes(4096)


@pytest.mark.parametrize("cns", [0x02, 0x10])
def test_lists_give_what_is_above_the_given_identifier(cns: int) -> None:
    driver = Driver(ns="4", size="1M")
    assert struct.unpack_from("<5I", driver.identify(cns, 0)) == (1, 2, 3, 4, 0)
    assert struct.unpack_from("<3I", driver.identify(cns, 2)) == (3, 4, 0)
    assert driver.identify(cns, 4) == bytes(4096)


def test_a_list_is_cut_at_1024_entries() -> None:
    driver = Driver(ns="1024", nn="1024", size="512")
    assert struct.unpack("<1024I", driver.identify(0x02)) == tuple(range(1, 1025))


def descriptors(data: bytes) -> dict[int, bytes]:
    found = {}
    position = 0
    while data[position]:
        kind, length = data[position], data[position + 1]
        assert data[position + 2 : position + 4] == b"\0\0"
        found[kind] = data[position + 4 : position + 4 + length]
        position += 4 + length
    return found


def test_descriptors() -> None:
    driver = Driver(ns="2", size="1M")
    first, second = (descriptors(driver.identify(0x03, nsid)) for nsid in (1, 2))
    assert {kind: len(value) for kind, value in first.items()} == {1: 8, 2: 16, 3: 16}
    assert all(first[kind] != second[kind] for kind in first)
    namespace = driver.identify(0x00, 1)
    assert namespace[120:128] == first[1]  # EUI64
    assert namespace[104:120] == first[2]  # NGUID


def test_identifiers_stay_over_restarts_and_follow_the_serial_number() -> None:
    one, again, other = Driver(), Driver(), Driver(serial="OTHER")
    assert one.identify(0x03, 1) == again.identify(0x03, 1)
    assert one.identify(0x03, 1) != other.identify(0x03, 1)


def test_what_2_0_adds() -> None:
    driver = Driver(version="2.0")
    assert u32(driver.identify(0x01), 80) == 0x00020000
    assert descriptors(driver.identify(0x03, 1))[4] == b"\0"  # CSI: NVM
    assert driver.identify(0x05, 1) == bytes(4096)
    assert driver.identify(0x06) == bytes(4096)
    assert u32(driver.identify(0x07), 0) == 1
    assert driver.identify(0x08, 1)[14] == 1  # NSTAT.NRDY
    assert driver.identify(0x1C)[0] == 1
    refused = driver.submit_admin(0x06, cdw10=0x06, cdw11=2 << 24, prp1=driver.alloc(4096))
    assert refused.status == 0x002, "only command set identifier 0 is there"


@pytest.mark.parametrize("cns", [0x05, 0x06, 0x08, 0x12, 0x1C])
def test_what_is_not_in_1_4_is_refused(cns: int) -> None:
    driver = Driver()
    done = driver.submit_admin(0x06, nsid=1, cdw10=cns, prp1=driver.alloc(4096))
    assert done.status == 0x002


def test_data_may_cross_a_page() -> None:
    driver = Driver()
    whole = driver.identify(0x01)
    pages = driver.alloc(3 * 4096)
    done = driver.submit_admin(0x06, cdw10=1, prp1=pages + 0xE00, prp2=pages + 8192)
    assert done.status == SUCCESS
    assert driver.peek(pages + 0xE00, 0x200) == whole[:0x200]
    assert driver.peek(pages + 8192, 0xE00) == whole[0x200:]
    assert driver.peek(pages + 4096, 4096) == bytes(4096)
