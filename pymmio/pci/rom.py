"""The expansion ROM: the images in it, for which machine each is, and their bytes.

Source: PCI Local Bus 3.0 §6.3.  What stands in a ROM is never trusted: each pointer and
length is checked against the ROM before it is used.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from pymmio.errors import ProtocolError
from pymmio.notebook import html_table
from pymmio.pci.bars import format_size
from pymmio.pci.header import named
from pymmio.regs.layout import Layout
from pymmio.regs.members import U8, U16, Ascii, Bytes

__all__ = ["ROM_READ_WIDTH", "Rom", "RomCodeType", "RomImage", "RomSource", "parse_rom", "read_rom"]

ROM_READ_WIDTH = 4
"""Width in bytes of the accesses that read a ROM."""

_SIGNATURE = 0xAA55  # little-endian: 55h comes first, PCI Local Bus 3.0 §6.3.1.1
_DATA_SIGNATURE = "PCIR"
_UNIT = 512  # of lengths, PCI Local Bus 3.0 §6.3.1.2
_MAX_IMAGES = 256  # more do not fit the 16 MiB that a ROM may have, if each has 64 KiB
_HEADER_SIZE = 0x1A  # PCI Local Bus 3.0 §6.3.1.1
_DATA_SIZE = 0x18  # of revision 0, PCI Local Bus 3.0 §6.3.1.2; later ones are longer


class RomCodeType(enum.IntEnum):
    """For which machine the code is: PCI Local Bus 3.0 §6.3.1.2, PCI Firmware 3.0 §5.1."""

    X86 = 0
    OPEN_FIRMWARE = 1
    PA_RISC = 2
    EFI = 3


class RomHeader(Layout, size=_HEADER_SIZE, byteorder="little"):
    """The start of an image (PCI Local Bus 3.0 §6.3.1.1)."""

    signature = U16(0x00)
    x86_units = U8(0x02)  # §6.3.3.1.1: initialisation size of x86 code, in 512 bytes
    data_pointer = U16(0x18)


class RomData(Layout, size=_DATA_SIZE, byteorder="little"):
    """The PCI data structure (PCI Local Bus 3.0 §6.3.1.2)."""

    signature = Ascii(0x00, 4)
    vendor_id = U16(0x04)
    device_id = U16(0x06)
    length = U16(0x0A)
    revision = U8(0x0C)
    class_code = Bytes(0x0D, 3)
    image_units = U16(0x10)
    code_revision = U16(0x12)
    code_type = U8(0x14)
    indicator = U8(0x15)


_LAST_IMAGE = 1 << 7  # bit of the indicator


class RomSource(Protocol):
    """Where a ROM is read from; a ``pymmio.mmio.Region`` is one."""

    @property
    def size(self) -> int: ...

    def read_block(self, offset: int, size: int, /, *, width: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RomImage:
    """One image: where it starts in the ROM, how many bytes it has, what it is for.

    ``code_type`` is a RomCodeType where the number is a known one.
    """

    index: int
    offset: int
    size: int
    code_type: int
    vendor_id: int
    device_id: int
    class_code: int
    code_revision: int
    is_last: bool

    @property
    def code_name(self) -> str:
        """The code type by name, or as its number."""
        if isinstance(self.code_type, RomCodeType):
            return self.code_type.name.lower().replace("_", " ")
        return f"code type {self.code_type}"

    def as_dict(self) -> dict[str, object]:
        """Return the values by name, ready for JSON."""
        return {
            "index": self.index,
            "offset": self.offset,
            "size": self.size,
            "code_type": int(self.code_type),
            "code_name": self.code_name,
            "vendor_id": self.vendor_id,
            "device_id": self.device_id,
            "class_code": self.class_code,
            "code_revision": self.code_revision,
            "is_last": self.is_last,
        }

    def __str__(self) -> str:
        return (
            f"image {self.index}: {self.code_name}, {format_size(self.size)} at {self.offset:#x},"
            f" for {self.vendor_id:04x}:{self.device_id:04x}"
        )


class Rom:
    """An expansion ROM: its images, whose bytes are read when they are asked for."""

    def __init__(self, source: RomSource, images: tuple[RomImage, ...]) -> None:
        """Not for callers: use :func:`read_rom`, :func:`parse_rom` or ``device.rom()``."""
        self._source = source
        self.images = images

    @property
    def size(self) -> int:
        """Bytes that the images take; what the region has behind them is padding."""
        last = self.images[-1]
        return last.offset + last.size

    def read_image(self, image: RomImage) -> bytes:
        """Read the bytes of one image."""
        return self._source.read_block(image.offset, image.size, width=ROM_READ_WIDTH)

    def dump(self) -> bytes:
        """Read all images, as a file for QEMU's ``romfile=`` holds them."""
        return self._source.read_block(0, self.size, width=ROM_READ_WIDTH)

    def is_checksum_right(self, image: RomImage) -> bool | None:
        """Read an image and add its bytes up; None where its code type has no checksum.

        Only x86 code has one, over its initialisation size (PCI Local Bus 3.0 §6.3.3.1.1).
        """
        if image.code_type != RomCodeType.X86:
            return None
        data = self.read_image(image)
        covered = RomHeader.parse(data[:_HEADER_SIZE]).x86_units * _UNIT
        return covered <= len(data) and sum(data[:covered]) & 0xFF == 0

    def as_dict(self) -> dict[str, object]:
        """Return size and images, ready for JSON."""
        return {"size": self.size, "images": [image.as_dict() for image in self.images]}

    def __str__(self) -> str:
        return "\n".join(map(str, self.images))

    def __repr__(self) -> str:
        return f"<Rom {len(self.images)} images, {self.size} bytes>"

    def _repr_html_(self) -> str:
        rows = [
            (
                f"{image.index}",
                image.code_name,
                f"{image.offset:#x}",
                format_size(image.size),
                f"{image.vendor_id:04x}:{image.device_id:04x}",
                f"{image.class_code:06x}",
            )
            for image in self.images
        ]
        columns = ("image", "code", "at", "size", "for", "class")
        return html_table("Expansion ROM", columns, rows, mono=("at", "for", "class"))


def read_rom(source: RomSource) -> Rom:
    """Find the images of a ROM; reads their headers only, with 4-byte accesses.

    Raises ProtocolError, with the images up to there, where there is no signature, or a
    pointer or length leads outside the ROM.
    """
    return Rom(source, tuple(_images(source)))


def parse_rom(data: bytes) -> Rom:
    """Find the images in the bytes of a ROM.  Raises ProtocolError as ``read_rom`` does."""
    return read_rom(_Bytes(data))


def _images(source: RomSource) -> Iterator[RomImage]:
    offset = 0
    for index in range(_MAX_IMAGES):
        image = _image(source, index, offset)
        yield image
        if image.is_last:
            return
        offset += image.size
    raise ProtocolError(f"expansion ROM: {_MAX_IMAGES} images and none is marked as the last one")


def _image(source: RomSource, index: int, offset: int) -> RomImage:
    def refuse(what: str) -> ProtocolError:
        return ProtocolError(f"expansion ROM, image {index} at {offset:#x}: {what}")

    room = source.size - offset
    if room < _HEADER_SIZE:
        raise refuse(f"{room} bytes are left, a header takes {_HEADER_SIZE}")
    header = RomHeader.parse(_read(source, offset, _HEADER_SIZE))
    if header.signature != _SIGNATURE:
        raise refuse(
            f"it starts with {header.signature:#06x}, not with the signature {_SIGNATURE:#06x}"
        )
    if header.data_pointer < _HEADER_SIZE:  # that it is aligned, not all ROMs keep to
        raise refuse(f"the PCI data structure cannot stand at {header.data_pointer:#x}")
    if header.data_pointer + _DATA_SIZE > room:
        raise refuse(
            f"the PCI data structure at {header.data_pointer:#x} lies beyond the {room:#x} bytes"
        )
    raw = _read(source, offset + header.data_pointer, _DATA_SIZE)
    if raw[:4] != _DATA_SIGNATURE.encode():
        raise refuse(f"the PCI data structure starts with {raw[:4]!r}, not with PCIR")
    data = RomData.parse(raw)
    size = data.image_units * _UNIT
    if data.length < _DATA_SIZE or header.data_pointer + data.length > room:
        raise refuse(f"the PCI data structure claims {data.length} bytes")
    if not header.data_pointer + data.length <= size <= room:
        raise refuse(f"it claims {size:#x} bytes of {room:#x}")
    return RomImage(
        index=index,
        offset=offset,
        size=size,
        code_type=named(RomCodeType, data.code_type),
        vendor_id=data.vendor_id,
        device_id=data.device_id,
        class_code=int.from_bytes(data.class_code, "little"),
        code_revision=data.code_revision,
        is_last=bool(data.indicator & _LAST_IMAGE),
    )


def _read(source: RomSource, offset: int, size: int) -> bytes:
    """Read a few bytes with whole, aligned accesses; a ROM's size is a multiple of theirs."""
    first = offset - offset % ROM_READ_WIDTH
    last = offset + size + -(offset + size) % ROM_READ_WIDTH
    whole = source.read_block(first, min(last, source.size) - first, width=ROM_READ_WIDTH)
    return whole[offset - first :][:size]


class _Bytes:
    """Bytes as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)

    @property
    def size(self) -> int:
        return len(self._data)

    def read_block(self, offset: int, size: int, /, *, width: int) -> bytes:
        return self._data[offset : offset + size]
