from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci.rom import RomCodeType, parse_rom, read_rom

from .roms import image


class Source:
    """A ROM that counts what is read, and refuses what a region would."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.bytes_read = 0

    def read_block(self, offset: int, size: int, /, *, width: int) -> bytes:
        assert width == 4
        assert offset % 4 == size % 4 == 0
        assert 0 <= offset <= offset + size <= self.size
        self.bytes_read += size
        return self.data[offset : offset + size]


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def test_two_images_and_padding():
    first = image(last=False, units=2)
    second = image(code_type=3, units=3, device_id=0x5678)
    data = first + second + b"\xff" * 4096
    source = Source(data)
    rom = read_rom(source)
    assert source.bytes_read < 128  # headers only
    assert [one.as_dict() for one in rom.images] == [
        {
            "index": 0,
            "offset": 0,
            "size": 1024,
            "code_type": 0,
            "code_name": "x86",
            "vendor_id": 0x1234,
            "device_id": 0x11E8,
            "class_code": 0x020000,
            "code_revision": 0x0102,
            "is_last": False,
        },
        {
            "index": 1,
            "offset": 1024,
            "size": 1536,
            "code_type": 3,
            "code_name": "efi",
            "vendor_id": 0x1234,
            "device_id": 0x5678,
            "class_code": 0x020000,
            "code_revision": 0x0102,
            "is_last": True,
        },
    ]
    assert rom.size == 2560
    assert rom.dump() == first + second
    assert rom.read_image(rom.images[1]) == second
    assert str(rom) == (
        "image 0: x86, 1K at 0x0, for 1234:11e8\nimage 1: efi, 1536 at 0x400, for 1234:5678"
    )
    assert repr(rom) == "<Rom 2 images, 2560 bytes>"
    assert "1234:5678" in rom._repr_html_()


def test_checksums():
    rom = parse_rom(image(last=False) + image(code_type=3))
    assert rom.is_checksum_right(rom.images[0]) is True
    assert rom.is_checksum_right(rom.images[1]) is None
    bad = parse_rom(changed(image(), 0x40, b"\x01"))
    assert bad.is_checksum_right(bad.images[0]) is False
    longer = parse_rom(changed(image(), 2, b"\xff"))  # covers more than the image has
    assert longer.is_checksum_right(longer.images[0]) is False


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "x86"), (1, "open firmware"), (2, "pa risc"), (3, "efi"), (9, "code type 9")],
)
def test_code_types(number, name):
    assert parse_rom(image(code_type=number)).images[0].code_name == name
    assert [int(member) for member in RomCodeType] == [0, 1, 2, 3]


@pytest.mark.parametrize("data_at", [0x1C, 0x1D, 0x3E8])
def test_where_the_data_structure_may_stand(data_at):
    assert parse_rom(image(data_at=data_at)).images[0].size == 1024


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes are left"),
        (bytes(2048), "starts with 0x0000"),
        (b"\xff" * 2048, "starts with 0xffff"),
        (image()[:24], "24 bytes are left"),
        (changed(image(), 0x18, b"\x00\x00"), "cannot stand at 0x0"),
        (changed(image(), 0x18, b"\xff\xff"), "at 0xffff lies beyond the 0x400 bytes"),
        (changed(image(), 0x18, b"\xe9\x03"), "at 0x3e9 lies beyond"),
        (changed(image(), 0x1C, b"PCIX"), "starts with b'PCIX'"),
        (changed(image(), 0x26, b"\x17\x00"), "claims 23 bytes"),
        (changed(image(), 0x26, b"\xff\xff"), "claims 65535 bytes"),
        (changed(image(), 0x2C, b"\x00\x00"), "claims 0x0 bytes of 0x400"),
        (changed(image(), 0x2C, b"\x03\x00"), "claims 0x600 bytes of 0x400"),
        (image(last=False), r"image 1 at 0x400: 0 bytes are left"),
        (image(last=False) + bytes(512), "image 1 at 0x400: it starts with 0x0000"),
        (image(last=False, units=1) * 257, "256 images and none is marked"),
    ],
)
def test_what_makes_no_sense_is_refused(data, says):
    with pytest.raises(ProtocolError, match=says):
        read_rom(Source(data + bytes(-len(data) % 4)))
