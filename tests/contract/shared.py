"""What a backend that can put two devices into one address space must do, with two edu devices.

Each function takes the URIs of two of them; see suite.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import pymmio
from pymmio.errors import Closed, IommuFault
from tests.children import in_forked_child
from tests.contract.suite import (
    BUFFER,
    DMA_COMMAND,
    DMA_COUNT,
    DMA_DESTINATION,
    DMA_FROM_DEVICE,
    DMA_SOURCE,
    DMA_START,
    raises,
)

SIZE = 512


def _move(device: pymmio.Device, source: int, destination: int, command: int) -> None:
    bar = device.region(0)
    bar.write64(DMA_SOURCE, source)
    bar.write64(DMA_DESTINATION, destination)
    bar.write64(DMA_COUNT, SIZE)
    bar.write64(DMA_COMMAND, command)
    bar.wait64(DMA_COMMAND, mask=DMA_START, value=0, timeout_s=10)


def _fetch(device: pymmio.Device, iova: int) -> None:
    """Have the device read memory into its buffer."""
    _move(device, iova, BUFFER, DMA_START)


def _store(device: pymmio.Device, iova: int) -> None:
    """Have the device write its buffer to memory."""
    _move(device, BUFFER, iova, DMA_START | DMA_FROM_DEVICE)


def _open_both(one: str, other: str) -> tuple[pymmio.Device, pymmio.Device]:
    first = pymmio.open_device(one)
    try:
        second = pymmio.open_device(other, share_dma_with=first)
    except BaseException:
        first.close()
        raise
    for device in (first, second):
        device.enable_bus_master()
    return first, second


def both_see_the_same_memory_at_the_same_address(one: str, other: str) -> None:
    first, second = _open_both(one, other)
    with first, second:
        assert second.dma is first.dma
        data = os.urandom(SIZE)
        buf = second.dma.alloc(8192, address_bits=28)
        with memoryview(buf) as view:
            view[:SIZE] = data
            _fetch(first, buf.iova)
            _store(first, buf.iova + 4096)
            _fetch(second, buf.iova + 4096)
            _store(second, buf.iova + 4096 + SIZE)
            assert bytes(view[4096 + SIZE : 4096 + 2 * SIZE]) == data


def memory_outlives_the_device_that_it_was_allocated_for(one: str, other: str) -> None:
    first, second = _open_both(one, other)
    with second:
        with first:
            buf = first.dma.alloc(4096, address_bits=28)
        with memoryview(buf) as view:
            view[:SIZE] = bytes(range(256)) * 2
            _fetch(second, buf.iova)
            _store(second, buf.iova + SIZE)
            assert view[SIZE : 2 * SIZE] == view[:SIZE]
        late = second.dma.alloc(4096, address_bits=28)
        _store(second, late.iova)
        with memoryview(late) as view:
            assert view[255] == 255
    for gone in (buf, late):
        raises(Closed, lambda gone=gone: gone.iova)  # type: ignore[misc]


def a_buffer_that_is_closed_is_gone_for_both(one: str, other: str) -> None:
    first, second = _open_both(one, other)
    with first, second:
        buf, witness = first.dma.alloc(4096), second.dma.alloc(4096)
        iova = buf.iova
        buf.close()
        for device in (first, second):
            with suppress(IommuFault):  # in this process the model's fault comes back to us
                _store(device, iova)
        assert bytes(memoryview(witness)) == bytes(4096)


def the_first_can_be_opened_again_and_join_the_second(one: str, other: str) -> None:
    first, second = _open_both(one, other)
    with second:
        first.close()
        buf = second.dma.alloc(4096, address_bits=28)
        with pymmio.open_device(one, share_dma_with=second) as again:
            again.enable_bus_master()
            with memoryview(buf) as view:
                view[:SIZE] = b"\xa5" * SIZE
                _fetch(again, buf.iova)
                _store(again, buf.iova + SIZE)
                assert bytes(view[SIZE : 2 * SIZE]) == b"\xa5" * SIZE


def a_closed_device_has_nothing_to_share(one: str, other: str) -> None:
    first = pymmio.open_device(one)
    first.close()
    raises(Closed, lambda: pymmio.open_device(other, share_dma_with=first))
    with pymmio.open_device(other):
        pass


def closing_both_leaves_nothing_behind(one: str, other: str) -> None:
    descriptors = set(os.listdir("/proc/self/fd"))
    for order in (0, 1):
        devices = _open_both(one, other)
        devices[0].dma.alloc(4096)
        devices[order].close()
        devices[1 - order].close()
        assert set(os.listdir("/proc/self/fd")) == descriptors


def a_forked_child_takes_nothing_from_either(one: str, other: str) -> None:
    first, second = _open_both(one, other)
    with first, second:
        buf = first.dma.alloc(4096, address_bits=28)

        def child() -> None:
            first.close()
            second.close()

        in_forked_child(child)
        _fetch(second, buf.iova)
        _fetch(first, buf.iova)


SHARED: tuple[Callable[[str, str], None], ...] = (
    both_see_the_same_memory_at_the_same_address,
    memory_outlives_the_device_that_it_was_allocated_for,
    a_buffer_that_is_closed_is_gone_for_both,
    the_first_can_be_opened_again_and_join_the_second,
    a_closed_device_has_nothing_to_share,
    closing_both_leaves_nothing_behind,
    a_forked_child_takes_nothing_from_either,
)
