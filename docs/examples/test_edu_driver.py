"""Tests of the edu driver that need no hardware: ``pytest test_edu_driver.py``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from edu_driver import Edu
from edu_registers import Registers

import pymmio
from pymmio.errors import BadArgument, DeviceGone, DeviceNotFound, DeviceTimeout
from pymmio.testing import mapped_region


@pytest.fixture
def edu() -> Iterator[Edu]:
    with Edu.open("sim:edu") as edu:
        yield edu


def test_the_device_is_alive(edu: Edu) -> None:
    assert edu.is_alive()


def test_factorial_wraps_at_32_bits(edu: Edu) -> None:
    assert edu.factorial(5) == 120
    assert edu.factorial(13) == 6227020800 % 2**32


def test_what_went_to_the_device_comes_back(edu: Edu) -> None:
    edu.put(bytes(range(256)) * 16)
    memoryview(edu.buffer)[:] = bytes(4096)
    assert edu.get(4096) == bytes(range(256)) * 16


@pytest.mark.parametrize("size", [0, 4097])
def test_a_size_that_the_device_has_not_is_refused(edu: Edu, size: int) -> None:
    with pytest.raises(BadArgument):
        edu.get(size)


def test_a_device_that_never_finishes_is_a_timeout() -> None:
    with Edu.open("sim:edu?busy_reads=1000000") as edu, pytest.raises(DeviceTimeout):
        edu.factorial(5, timeout_s=0.01)


def test_another_device_is_refused_and_closed_again() -> None:
    with pytest.raises(DeviceNotFound, match="no edu device"):
        Edu.open("sim:nvme?size=1M")


def test_a_device_that_is_gone_is_noticed() -> None:
    region = mapped_region(0x1000)
    region.write32(0x00, 0xFFFF_FFFF)  # what an unplugged device reads as
    with pytest.raises(DeviceGone):
        Registers(region).identification.read()


def test_an_access_is_what_the_driver_asked_for() -> None:
    seen: list[str] = []
    with pymmio.open_device("sim:edu", trace=lambda event: seen.append(str(event))) as device:
        seen.clear()
        Registers(device.region(0)).dma_count.write(14)
    assert seen[0] == "sim:edu BAR0+0x0090 write64 0x000000000000000e"
