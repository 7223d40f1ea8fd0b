from __future__ import annotations

from pymmio.pci import hex_dump


def test_lines_of_16_bytes_with_offsets():
    assert hex_dump(bytes(range(18))) == (
        "00: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f\n10: 10 11"
    )


def test_offsets_are_as_wide_as_the_last_one():
    lines = hex_dump(bytes(4096)).splitlines()
    assert len(lines) == 256
    assert lines[0].startswith("000: ")
    assert lines[-1].startswith("ff0: ")


def test_base_is_added():
    assert hex_dump(b"\xab", base=0x100) == "100: ab"


def test_nothing_is_nothing():
    assert hex_dump(b"") == ""
