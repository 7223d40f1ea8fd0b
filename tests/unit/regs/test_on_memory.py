"""Registers on a real region (mapped plain memory) instead of the fake one."""

from __future__ import annotations

import threading

import pytest

from pymmio.errors import Closed, DeviceGone, DeviceTimeout, OutOfBounds
from pymmio.mmio.access import AccessRule, Order
from pymmio.regs import Field, Reg, Register, RegisterFile
from pymmio.testing import mapped_region
from tests.unit.regs.sample import CTRL, Mode, Sample


class FAR(Register, offset=0x4000, width=32):
    f = Field(bit=0)


class Far(RegisterFile):
    far = Reg(FAR)


@pytest.fixture
def region():
    with mapped_region(0x2000) as region:
        yield region


def test_values_go_to_the_region_and_back(region):
    regs = Sample(region)
    regs.ctrl.write(CTRL(en=1))
    assert regs.ctrl.update(mode=Mode.SLOW) == 0x71
    assert region.read32(0x14) == 0x71
    region.write64(0, 0xBEEF_0000_0000_0001)
    assert regs.id.read(order=Order.LOW_FIRST).high == 0xBEEF
    regs.slots[2].write(0x1234)
    assert region.read16(0x88) == 0x1234


def test_a_big_endian_rule_changes_nothing_for_registers():
    with mapped_region(0x2000, rule=AccessRule(byteorder="big")) as region:
        regs = Sample(region)
        regs.ctrl.write(size=0x12)
        assert regs.ctrl.read().size == 0x12
        assert region.read8(0x14 + 2) == 0x12


def test_a_wait_sees_what_another_thread_writes(region):
    regs = Sample(region)
    writer = threading.Thread(target=region.write32, args=(0x14, 0x8000_0000))
    writer.start()
    assert regs.ctrl.wait_until(ready=1, timeout_s=30).ready == 1
    writer.join()


def test_a_wait_that_is_in_vain_says_what_it_saw(region):
    region.write32(0x14, 0x20)
    with pytest.raises(DeviceTimeout, match="mode=FAST") as caught:
        Sample(region).ctrl.wait_until(ready=1, timeout_s=0)
    assert caught.value.last == 0x20


def test_all_ones_end_a_long_wait(region):
    region.write32(0x1C, 0xFFFF_FFFF)
    with pytest.raises(DeviceGone):
        Sample(region).status.wait_until(rdy=0, timeout_s=3600)


def test_errors_of_the_region_pass_through(region):
    with pytest.raises(OutOfBounds):
        Far(region).far.read()
    assert Far(region).dump().registers[0].not_read == "outside the region"
    ctrl = Sample(region).ctrl
    region.close()
    for call in (ctrl.read, lambda: ctrl.write(1), lambda: ctrl.wait_until(en=1, timeout_s=1)):
        with pytest.raises(Closed):
            call()


def test_a_dump_reads_the_region(region):
    region.write32(0x14, 0x21)
    assert "mode [6:4]   FAST (0x2)" in Sample(region).dump().text()


def test_a_dump_of_a_region_with_read_side_effects_reads_nothing():
    with mapped_region(0x2000, rule=AccessRule(read_side_effects=True)) as region:
        dump = Sample(region).dump()
        assert {r.not_read for r in dump.registers if r.name == "ctrl"} == {
            "a read has side effects"
        }
