"""Memory for the device: what is told to the server, and what it refuses."""

from __future__ import annotations

import os
import struct

import pytest

import pymmio
from pymmio.errors import DeviceGone, DmaError, MappingLimit, PymmioError
from tests.unit.backend.vfio_user.fake_server import (
    DMA_MAP,
    DMA_UNMAP,
    PAGE,
    Reply,
    fake_server,
)


def test_memory_goes_to_the_server_with_its_descriptor() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        buffer = device.dma.alloc(PAGE)
        request = server.requests[-1]
        assert request.command == DMA_MAP
        assert request.payload == struct.pack("=IIQQQ", 32, 3, 0, buffer.iova, PAGE)
        memoryview(buffer)[:3] = b"abc"
        fd, size = server.maps[buffer.iova]
        assert (os.pread(fd, 3, 0), size) == (b"abc", PAGE)
        where = buffer.iova
        buffer.close()
        assert server.requests[-1].payload == struct.pack("=IIQQ", 24, 0, where, PAGE)
        assert not server.maps


def test_a_server_that_has_enough_mappings_and_does_not_say_so() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        for _ in range(15):
            device.dma.alloc(PAGE)
        server.answers[DMA_MAP] = lambda request: Reply(error=22)
        with pytest.raises(MappingLimit, match="DmaPool"):
            device.dma.alloc(PAGE)


@pytest.mark.parametrize(("number", "kind"), [(28, MappingLimit), (22, DmaError), (17, DmaError)])
def test_a_mapping_that_is_refused_leaves_nothing(number: int, kind: type[PymmioError]) -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        server.answers[DMA_MAP] = lambda request: Reply(error=number)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(kind, match="the server"):
            device.dma.alloc(PAGE)
        assert len(os.listdir("/proc/self/fd")) == before
        del server.answers[DMA_MAP]
        device.dma.alloc(PAGE).close()


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply(error=5), "the server refuses"),
        (Reply(struct.pack("=IIQQ", 24, 0, PAGE, 9 * PAGE)), "the server unmapped"),
        (Reply(bytes(3)), "DMA_UNMAP has 3 bytes"),
        (None, "no reply"),
    ],
)
def test_a_server_that_does_not_let_go_of_memory_is_cut_off(reply: Reply | None, why: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with fake_server() as (server, uri):
        with pymmio.open_device(uri + "?timeout=0.1") as device:
            buffer, other = device.dma.alloc(PAGE), device.dma.alloc(PAGE)
            server.answers[DMA_UNMAP] = lambda request: reply
            buffer.close()
            with pytest.raises(DeviceGone, match=why):
                device.region(0).read32(0)
            other.close()
            with pytest.raises(DeviceGone, match=why):
                device.dma.alloc(PAGE)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_server_that_says_nothing_of_what_it_unmapped_is_believed() -> None:
    with fake_server() as (server, uri), pymmio.open_device(uri) as device:
        server.answers[DMA_UNMAP] = lambda request: Reply()
        device.dma.alloc(PAGE).close()
        device.dma.alloc(PAGE).close()


def test_limits_come_from_the_server() -> None:
    said = {"max_dma_maps": 2, "pgsizes": 0x10000}
    with fake_server(capabilities=said) as (_, uri), pymmio.open_device(uri) as device:
        assert device.dma.page_size == 0x10000
        device.dma.alloc(1)
        device.dma.alloc(1)
        with pytest.raises(MappingLimit):
            device.dma.alloc(1)
