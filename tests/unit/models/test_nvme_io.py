"""I/O commands: data arrives, and the rarer commands do what Base 1.4 §6 says."""

from __future__ import annotations

import os
import struct

import pytest

from .nvme_driver import SUCCESS, Driver

FLUSH, WRITE, READ, UNCORRECTABLE, COMPARE, ZEROES, DSM = 0x00, 0x01, 0x02, 0x04, 0x05, 0x08, 0x09
READ_ERROR, COMPARE_FAILURE, OUT_OF_RANGE = 0x281, 0x285, 0x080


@pytest.fixture(params=["memory", "file"])
def driver(request: pytest.FixtureRequest, tmp_path: object) -> Driver:
    if request.param == "file":
        return Driver(file=f"{tmp_path}/disk.img")
    return Driver()


@pytest.mark.parametrize("size", [512, 1024, 4096, 4608, 8192, 65536, 524288])
def test_what_was_written_is_read(driver: Driver, size: int) -> None:
    data = os.urandom(size)
    assert driver.write(17, data).status_field == SUCCESS
    assert driver.read(17, size) == data
    assert driver.read(16, 512) == bytes(512)
    assert driver.read(17 + size // 512, 512) == bytes(512)


def test_4096_byte_blocks() -> None:
    driver = Driver(block_size="4096")
    data = os.urandom(8192)
    buffer = driver.alloc(8192)
    driver.poke(buffer, data)
    fields = {"lba": 3, "blocks": 2, "prp1": buffer, "prp2": buffer + 4096}
    assert driver.submit_io(WRITE, **fields).status == SUCCESS
    driver.poke(buffer, bytes(8192))
    assert driver.submit_io(READ, **fields).status == SUCCESS
    assert driver.peek(buffer, 8192) == data
    last = (16 << 20) // 4096 - 1
    assert driver.submit_io(READ, lba=last, prp1=buffer).status == SUCCESS
    assert driver.submit_io(READ, lba=last + 1, prp1=buffer).status == OUT_OF_RANGE


def test_the_last_block_and_one_beyond(driver: Driver) -> None:
    last = (16 << 20) // 512 - 1
    data = os.urandom(512)
    assert driver.write(last, data).status == SUCCESS
    assert driver.read(last, 512) == data
    assert driver.write(last, bytes(1024)).status == OUT_OF_RANGE
    assert driver.read(last, 512) == data


def test_namespaces_do_not_share_blocks() -> None:
    driver = Driver(ns="3", size="1M")
    for nsid in (1, 2, 3):
        assert driver.write(0, bytes([nsid]) * 512, nsid=nsid).status == SUCCESS
        assert driver.write(2047, bytes([nsid]) * 512, nsid=nsid).status == SUCCESS
    for nsid in (1, 2, 3):
        buffer = driver.alloc(512)
        for lba in (0, 2047):
            driver.submit_io(READ, nsid=nsid, lba=lba, prp1=buffer)
            assert driver.peek(buffer, 512) == bytes([nsid]) * 512


@pytest.mark.parametrize(("mdts", "largest"), [("1", 8192), ("7", 524288)])
def test_mdts_is_the_largest_transfer(mdts: str, largest: int) -> None:
    driver = Driver(mdts=mdts)
    assert driver.write(0, bytes(largest)).status == SUCCESS
    assert driver.write(0, bytes(largest + 512)).status == 0x002


def test_without_mdts_a_transfer_may_have_all_blocks() -> None:
    driver = Driver(mdts="0", size="64M")
    buffer = driver.alloc(4096)
    pages = [buffer] * 8192
    assert driver.submit_io(READ, blocks=65536, **driver.prps(pages)).status == SUCCESS


def test_a_write_that_cannot_be_fetched_leaves_the_blocks(driver: Driver) -> None:
    driver.write(0, b"\x11" * 8192)
    buffer = driver.alloc(4096)
    done = driver.submit_io(WRITE, blocks=16, prp1=buffer, prp2=0xDEAD_0000_0000)
    assert done.status == 0x004
    assert done.dnr
    assert driver.read(0, 8192) == b"\x11" * 8192


def test_flags_of_read_and_write_are_taken(driver: Driver) -> None:
    data = os.urandom(512)
    buffer = driver.alloc(512)
    driver.poke(buffer, data)
    fua_and_lr = 3 << 30
    assert driver.submit_io(WRITE, cdw12=fua_and_lr, prp1=buffer).status == SUCCESS
    driver.poke(buffer, bytes(512))
    assert driver.submit_io(READ, cdw12=fua_and_lr, prp1=buffer).status == SUCCESS
    assert driver.peek(buffer, 512) == data


def test_compare(driver: Driver) -> None:
    data = os.urandom(8192)
    driver.write(5, data)
    buffer = driver.alloc(8192)
    driver.poke(buffer, data)
    fields = {"lba": 5, "blocks": 16, "prp1": buffer, "prp2": buffer + 4096}
    assert driver.submit_io(COMPARE, **fields).status == SUCCESS
    driver.poke(buffer + 8191, bytes([data[-1] ^ 1]))
    failed = driver.submit_io(COMPARE, **fields)
    assert failed.status == COMPARE_FAILURE
    assert failed.dnr


def test_compare_across_segments_that_are_apart(driver: Driver) -> None:
    data = os.urandom(8192)
    driver.write(0, data)
    pages = [driver.alloc(8192), driver.alloc(8192)]
    driver.poke(pages[0], data[:4096])
    driver.poke(pages[1], data[4096:])
    assert driver.submit_io(COMPARE, blocks=16, **driver.prps(pages)).status == SUCCESS
    assert driver.submit_io(COMPARE, blocks=16, **driver.prps(pages[::-1])).status == 0x285


@pytest.mark.parametrize(("lba", "blocks"), [(0, 1), (3, 100), (8, 8), (1, 65536 // 4)])
def test_write_zeroes(driver: Driver, lba: int, blocks: int) -> None:
    pattern = b"\x5a" * (64 << 10)
    for at in range(0, 16384 + 256, 128):
        driver.write(at, pattern)
        driver._next -= len(pattern) + 4096  # reuse the buffer
    assert driver.submit_io(ZEROES, lba=lba, blocks=blocks).status == SUCCESS
    if lba:
        assert driver.read(lba - 1, 512) == b"\x5a" * 512
    assert driver.read(lba, 512) == bytes(512)
    assert driver.read(lba + blocks - 1, 512) == bytes(512)
    assert driver.read(lba + blocks, 512) == b"\x5a" * 512


def deallocate(driver: Driver, *ranges: tuple[int, int], attributes: int = 4) -> int:
    buffer = driver.alloc(4096)
    entries = b"".join(struct.pack("<IIQ", 0, blocks, lba) for lba, blocks in ranges)
    driver.poke(buffer, entries)
    fields = {"cdw10": len(ranges) - 1, "cdw11": attributes, "cdw12": 0}
    return driver.submit_io(DSM, prp1=buffer, **fields).status


def test_deallocated_blocks_read_as_zeroes(driver: Driver) -> None:
    driver.write(0, b"\x77" * 65536)
    assert deallocate(driver, (1, 2), (64, 32), (127, 1), (5, 0)) == SUCCESS
    data = driver.read(0, 65536)
    for lba in range(128):
        gone = lba in (1, 2, 127) or 64 <= lba < 96
        assert data[512 * lba : 512 * lba + 512] == (bytes(512) if gone else b"\x77" * 512)


def test_256_ranges(driver: Driver) -> None:
    driver.write(0, b"\x77" * (512 * 512))
    assert deallocate(driver, *((2 * i, 1) for i in range(256))) == SUCCESS
    assert driver.read(0, 1024) == bytes(512) + b"\x77" * 512


def test_one_bad_range_deallocates_nothing(driver: Driver) -> None:
    driver.write(0, b"\x77" * 512)
    assert deallocate(driver, (0, 1), (1 << 40, 1)) == OUT_OF_RANGE
    assert deallocate(driver, (0, 1), (0, 0xFFFF_FFFF)) == OUT_OF_RANGE
    assert driver.read(0, 512) == b"\x77" * 512


def test_hints_change_nothing(driver: Driver) -> None:
    driver.write(0, b"\x77" * 512)
    assert deallocate(driver, (0, 1), attributes=3) == SUCCESS
    assert driver.read(0, 512) == b"\x77" * 512


@pytest.mark.parametrize("mend", ["write", "zeroes", "deallocate"])
def test_uncorrectable_blocks_cannot_be_read_until_written(driver: Driver, mend: str) -> None:
    driver.write(0, b"\x44" * 4096)
    assert driver.submit_io(UNCORRECTABLE, lba=2, blocks=2).status == SUCCESS
    buffer = driver.alloc(4096)
    failed = driver.submit_io(READ, lba=0, blocks=8, prp1=buffer)
    assert failed.status == READ_ERROR
    assert not failed.dnr
    assert driver.submit_io(COMPARE, lba=3, prp1=buffer).status == READ_ERROR
    assert driver.read(4, 2048) == b"\x44" * 2048
    if mend == "write":
        driver.write(2, bytes(1024))
    elif mend == "zeroes":
        driver.submit_io(ZEROES, lba=2, blocks=2)
    else:
        deallocate(driver, (2, 2))
    assert driver.read(2, 1024) == bytes(1024)


def test_uncorrectable_blocks_are_limited() -> None:
    driver = Driver(size="1T")
    seen = {driver.submit_io(UNCORRECTABLE, lba=65536 * i, blocks=65536).status for i in range(20)}
    assert seen == {SUCCESS, 0x006}


def test_format_changes_the_block_size_and_clears(driver: Driver) -> None:
    driver.write(0, b"\x77" * 4096)
    assert driver.submit_admin(0x80, nsid=1, cdw10=1 | 1 << 9).status == SUCCESS
    data = driver.identify(0x00, 1)
    assert data[26] == 1
    assert int.from_bytes(data[0:8], "little") == (16 << 20) // 4096
    buffer = driver.alloc(4096)
    assert driver.submit_io(READ, prp1=buffer).status == SUCCESS
    assert driver.peek(buffer, 4096) == bytes(4096)
    assert driver.submit_admin(0x80, nsid=0xFFFF_FFFF, cdw10=0).status == SUCCESS
    assert driver.identify(0x00, 1)[26] == 0


def test_cryptographic_erase_is_refused(driver: Driver) -> None:
    assert driver.submit_admin(0x80, nsid=1, cdw10=2 << 9).status == 0x002


def test_large_sparse_namespaces_cost_nothing() -> None:
    driver = Driver(size="1T", block_size="4096")
    buffer = driver.alloc(4096)
    driver.poke(buffer, b"\x99" * 4096)
    last = (1 << 40) // 4096 - 1
    assert driver.submit_io(WRITE, lba=last, prp1=buffer).status == SUCCESS
    driver.poke(buffer, bytes(4096))
    assert driver.submit_io(READ, lba=last, prp1=buffer).status == SUCCESS
    assert driver.peek(buffer, 4096) == b"\x99" * 4096
