"""Submission queue entries pinned to literals from NVMe Base 2.0 and NVM Command Set 1.0."""

from __future__ import annotations

from pymmio_drivers.nvme import command


def at(entry, dword):
    return int.from_bytes(entry[4 * dword : 4 * dword + 4], "little")


def test_every_double_word_stands_at_its_place():
    entry = command.sqe(
        0x5A,
        nsid=0x01020304,
        cdw2=2,
        cdw3=3,
        prp1=0x1111_2222_3333_4444,
        prp2=0x5555_6666_7777_8888,
        cdw10=10,
        cdw11=11,
        cdw12=12,
        cdw13=13,
        cdw14=14,
        cdw15=15,
    )
    assert entry == bytes.fromhex(
        "5a000000" "04030201" "02000000" "03000000"
        "0000000000000000" "4444333322221111" "8888777766665555"
        "0a000000" "0b000000" "0c000000" "0d000000" "0e000000" "0f000000"
    )  # fmt: skip
    assert len(entry) == command.SQE_SIZE == 64


def test_data_pointer_is_bytes_24_to_39():
    entry = command.with_data_pointer(bytes(range(64)), 0xA1A2A3A4A5A6A7A8, 0xB1)
    assert entry == bytes(range(24)) + bytes.fromhex("a8a7a6a5a4a3a2a1b100000000000000") + bytes(
        range(40, 64)
    )


def test_opcodes():
    assert [int(o) for o in command.AdminOpcode] == [
        0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x10, 0x11, 0x14,
        0x15, 0x18, 0x80, 0x81, 0x82, 0x84,
    ]  # fmt: skip
    assert [int(o) for o in command.IoOpcode] == [0, 1, 2, 4, 5, 8, 9, 0x0C]


def test_queue_creation():
    cq = command.create_cq(3, size=256, iova=0xABC000, vector=7)
    assert cq[0] == 0x05
    assert int.from_bytes(cq[24:32], "little") == 0xABC000
    assert at(cq, 10) == 0x00FF_0003  # size minus 1, id
    assert at(cq, 11) == 0x0007_0003  # vector, interrupts enabled, physically contiguous
    assert at(command.create_cq(3, size=2, iova=0, vector=None), 11) == 1
    sq = command.create_sq(4, size=65536, iova=0xDEF000, cqid=3)
    assert sq[0] == 0x01
    assert at(sq, 10) == 0xFFFF_0004
    assert at(sq, 11) == 0x0003_0001
    assert (command.delete_sq(9)[0], at(command.delete_sq(9), 10)) == (0x00, 9)
    assert (command.delete_cq(9)[0], at(command.delete_cq(9), 10)) == (0x04, 9)


def test_identify_abort_and_events():
    entry = command.identify(0x02, nsid=0x11, cntid=0x5)
    assert (entry[0], at(entry, 1), at(entry, 10)) == (0x06, 0x11, 0x0005_0002)
    entry = command.abort(0x1234, 0xABCD)
    assert (entry[0], at(entry, 10)) == (0x08, 0xABCD_1234)
    assert command.async_event_request() == bytes([0x0C]) + bytes(63)


def test_features():
    entry = command.get_features(0x07, select=3, nsid=1, cdw11=5)
    assert (entry[0], at(entry, 1), at(entry, 10), at(entry, 11)) == (0x0A, 1, 0x307, 5)
    entry = command.set_features(0x07, 0x0003_0002, save=True)
    assert (entry[0], at(entry, 10), at(entry, 11)) == (0x09, 0x8000_0007, 0x0003_0002)


def test_log_page_length_offset_and_retain_bit():
    entry = command.get_log_page(0x02, 4 * 0x1_2345 + 4, offset=0x1_0000_0200, lsp=0x3, rae=True)
    assert (entry[0], at(entry, 1)) == (0x02, 0xFFFF_FFFF)
    assert at(entry, 10) == 0x2345_8302
    assert at(entry, 11) == 1
    assert (at(entry, 12), at(entry, 13)) == (0x200, 1)


def test_deallocate_and_flush():
    entry = command.deallocate(5, 3)
    assert (entry[0], at(entry, 1), at(entry, 10), at(entry, 11)) == (0x09, 5, 2, 4)
    data = command.deallocate_ranges([command.Range(0x1_0000_0001, 8), command.Range(2, 9)])
    assert data == bytes.fromhex("0000000008000000010000000100000000000000090000000200000000000000")
    assert command.flush(0xFFFFFFFF) == bytes([0, 0, 0, 0]) + b"\xff" * 4 + bytes(56)
