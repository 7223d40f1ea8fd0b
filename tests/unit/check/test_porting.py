"""What the scan of sources finds, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import pymmio_drivers
from pymmio.check.porting import scan


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ('struct.pack("HI", 1, 2)', "'HI'"),
        ('struct.Struct("=Q")', "'=Q'"),
        ('unpack_from("@l", data)', "'@l'"),
        ('memoryview(data).cast("I")', "cast to 'I'"),
        ("class Entry(ctypes.Structure):\n    pass", "class Entry"),
        ("int.from_bytes(data, sys.byteorder)", "sys.byteorder"),
        ("bar = mmap.mmap(fd, 4096)", "mmap()"),
        ("ctypes.c_uint32.from_buffer(bar)", "from_buffer()"),
        ("numpy.frombuffer(bar)", "frombuffer()"),
        ("ctypes.memmove(a, b, 4)", "memmove()"),
        ("dma.map(iova=0, size=4096)", "fixed device address"),
        ("QUEUE_IOVA = 0x10000", "fixed device address"),
    ],
)
def test_what_is_tied_to_x86_is_found(source, word):
    (finding,) = scan(f"\n{source}\n")
    assert finding.line == 2
    assert word in finding.what
    assert finding.instead


@pytest.mark.parametrize(
    "source",
    [
        'struct.pack("<HI", 1, 2)',
        'struct.unpack(">Q", data)',
        'struct.pack("16s4B", name, 1, 2, 3, 4)',
        'memoryview(data).cast("B")',
        "class Entry(ctypes.LittleEndianStructure):\n    pass",
        'int.from_bytes(data, "little")',
        "queue.iova = buffer.iova",
        "dma.map(iova=buffer.iova)",
        'typing.cast("Region", value)',
    ],
)
def test_what_is_portable_is_left_alone(source):
    assert scan(source) == []


def test_findings_are_in_the_order_of_the_lines():
    source = 'a = mmap.mmap(0, 1)\nstruct.pack("I", 1)\nsys.byteorder'
    assert [finding.line for finding in scan(source)] == [1, 2, 3]


def test_the_drivers_of_this_package_have_none():
    (folder,) = pymmio_drivers.__path__
    sources = sorted(Path(folder).rglob("*.py"))
    assert len(sources) > 3
    assert {path.name: found for path in sources if (found := scan(path.read_text("utf-8")))} == {}
