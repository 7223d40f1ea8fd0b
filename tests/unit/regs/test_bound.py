from __future__ import annotations

import math

import pytest

from pymmio.errors import (
    BadArgument,
    DeviceGone,
    DeviceTimeout,
    ReadOnly,
    RegisterError,
    UnsafeUpdate,
    WriteOnly,
)
from pymmio.mmio.access import AccessRule, Order
from pymmio.regs import RESERVED, RO, RW, W1C, W1S, WO, Field, Reg, Register, RegisterFile
from tests.unit.regs.fake_space import FakeSpace
from tests.unit.regs.sample import CTRL, ID, MIXED, SLOT, STATUS, Mode, Sample


@pytest.fixture
def space():
    return FakeSpace()


@pytest.fixture
def regs(space):
    return Sample(space)


# --- read and write --------------------------------------------------------------------


def test_read_makes_one_access_of_the_declared_width(space, regs):
    space.poke(0x14, 32, 0x21)
    value = regs.ctrl.read()
    assert type(value) is CTRL
    assert (value.en, value.mode) == (1, Mode.FAST)
    assert space.log == [("read", 32, 0x14, None)]


@pytest.mark.parametrize(
    ("name", "width", "offset"),
    [("id", 64, 0), ("ctrl", 32, 0x14), ("events", 16, 0x20), ("fifo", 8, 0x24)],
)
def test_each_width_has_its_accessor(space, regs, name, width, offset):
    getattr(regs, name).read()
    assert space.log == [("read", width, offset, None)]


@pytest.mark.parametrize(
    ("argument", "fields", "written"),
    [
        (CTRL(en=1), {}, 1),
        (0x71, {}, 0x71),
        (0x71, {"mode": 0}, 0x01),
        (None, {"en": 1, "size": 3}, 0x301),
    ],
)
def test_write_takes_a_value_a_number_or_fields(space, regs, argument, fields, written):
    regs.ctrl.write(argument, **fields)
    assert space.log == [("write", 32, 0x14, written)]


def test_the_order_of_64_bits_is_handed_to_the_region(space):
    class WIDE(Register, offset=8, width=64):
        f = Field(bits=(0, 63))

    class File(RegisterFile):
        wide = Reg(WIDE)

    wide = File(space).wide
    wide.read(order=Order.LOW_FIRST)
    wide.write(5, order=Order.HIGH_FIRST)
    wide.update(f=6, order=Order.LOW_FIRST)
    wide.read()
    wide.write(7)
    assert space.orders == [
        Order.LOW_FIRST,
        Order.HIGH_FIRST,
        Order.LOW_FIRST,
        Order.LOW_FIRST,
        None,
        None,
    ]
    assert space.peek(8, 64) == 7


def test_an_order_for_a_narrow_register_is_refused(space, regs):
    for call in (
        lambda: regs.ctrl.read(order=Order.LOW_FIRST),
        lambda: regs.ctrl.write(1, order=Order.LOW_FIRST),
    ):
        with pytest.raises(RegisterError, match="32 bits"):
            call()
    assert space.log == []


def test_reading_a_write_only_register_is_refused_without_an_access(space, regs):
    with pytest.raises(WriteOnly, match=r"tail\[1\] \(fake \+ 0x1008\) is write-only") as caught:
        regs.tail[1].read()
    assert (caught.value.region, caught.value.offset, caught.value.width) == ("fake", 0x1008, 4)
    assert space.log == []


def test_reading_a_write_only_register_with_an_order_is_refused(space):
    class WIDE(Register, offset=8, width=64, access=WO):
        pass

    class File(RegisterFile):
        wide = Reg(WIDE)

    with pytest.raises(WriteOnly):
        File(space).wide.read(order=Order.LOW_FIRST)


def test_writing_a_read_only_register_is_refused_without_an_access(space, regs):
    for call in (lambda: regs.id.write(1), lambda: regs.id.update(low=1)):
        with pytest.raises(ReadOnly, match=r"id \(fake \+ 0x0\) is read-only") as caught:
            call()
    assert caught.value.is_write
    assert space.log == []


def test_naming_a_read_only_field_is_refused_without_an_access(space, regs):
    for call in (lambda: regs.ctrl.write(ready=1), lambda: regs.ctrl.update(ready=0)):
        with pytest.raises(ReadOnly, match="field ready is read-only"):
            call()
    assert space.log == []


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda r: r.ctrl.write(), "without a value"),
        (lambda r: r.ctrl.write(STATUS(1)), "value of STATUS"),
        (lambda r: r.ctrl.write(1 << 32), "32 bits"),
        (lambda r: r.ctrl.write(enn=1), "Did you mean 'en'"),
        (lambda r: r.ctrl.write(mode=8), r"CTRL\.mode has 3 bits"),
        (lambda r: r.ctrl.update(enn=1), "Did you mean 'en'"),
        (lambda r: r.ctrl.update(rsvd=1), "reserved"),
        (lambda r: r.ctrl.update(), "without a field"),
        (lambda r: r.ctrl.wait_until(timeout_s=1), "without a field"),
        (lambda r: r.ctrl.wait_until(redy=1, timeout_s=1), "Did you mean 'ready'"),
        (lambda r: r.ctrl.wait_until(mode=9, timeout_s=1), r"CTRL\.mode has 3 bits"),
    ],
)
def test_senseless_calls_touch_nothing(space, regs, call, says):
    with pytest.raises(RegisterError, match=says):
        call(regs)
    assert space.log == []
    assert space.waits == []


# --- update ----------------------------------------------------------------------------


def test_update_changes_the_named_fields_only(space, regs):
    space.poke(0x14, 32, 0xFFFF_FFFF)
    written = regs.ctrl.update(mode=Mode.IDLE, size=0)
    assert space.log == [("read", 32, 0x14, None), ("write", 32, 0x14, 0xFFFF_008F)]
    assert written == CTRL(0xFFFF_008F)


@pytest.mark.parametrize(
    ("kind", "use"),
    [(W1C, r"clear\('f'\)"), (W1S, r"set\('f'\)"), (WO, r"write\(REG\(\.\.\.\)\)")],
)
def test_update_refuses_fields_that_a_write_back_would_change(space, kind, use):
    class REG(Register, offset=0, width=8):
        rw = Field(bit=0)
        f = Field(bit=1, access=kind)

    class File(RegisterFile):
        reg = Reg(REG)

    with pytest.raises(UnsafeUpdate, match=rf"field 'f' is {kind}: .* Use {use}"):
        File(space).reg.update(rw=1)
    assert space.log == []


def test_update_refuses_registers_whose_reads_have_side_effects(space):
    class REG(Register, offset=0, width=8, read_side_effects=True):
        rw = Field(bit=0)

    class File(RegisterFile):
        reg = Reg(REG)

    with pytest.raises(UnsafeUpdate, match="side effects"):
        File(space).reg.update(rw=1)
    assert space.log == []


def test_the_rule_of_the_region_decides_where_the_register_does_not(space):
    class UNSAID(Register, offset=0, width=8):
        rw = Field(bit=0)

    class SAFE(Register, offset=1, width=8, read_side_effects=False):
        rw = Field(bit=0)

    class File(RegisterFile):
        unsaid = Reg(UNSAID)
        safe = Reg(SAFE)

    space.rule = AccessRule(read_side_effects=True)
    regs = File(space)
    assert regs.unsaid.has_read_side_effects
    with pytest.raises(UnsafeUpdate):
        regs.unsaid.update(rw=1)
    regs.safe.update(rw=1)


def test_neutral_is_the_way_to_change_fields_beside_w1c_ones(space, regs):
    space.poke(0x1C, 32, 0x0107_0090)
    regs.status.write(regs.status.read().neutral().replace(mask=5))
    assert space.log[-1] == ("write", 32, 0x1C, 0x50)


# --- clear and set ---------------------------------------------------------------------


def test_clear_keeps_rw_and_reserved_bits_and_writes_zero_elsewhere(space, regs):
    space.poke(0x1C, 32, 0xFFFF_FFFF & ~0x1000)
    regs.status.clear("err")
    assert space.log == [("read", 32, 0x1C, None), ("write", 32, 0x1C, 0x0001_03F0)]


def test_clear_writes_one_to_all_bits_of_all_named_fields(space, regs):
    regs.status.clear("err", "warn")
    assert space.log[-1] == ("write", 32, 0x1C, 0x7_0000)


def test_clear_does_not_read_where_there_is_nothing_to_keep(space, regs):
    space.poke(0x20, 16, 3)
    space.acts[0x20] = lambda old, written: old & ~written
    regs.events.clear("lost")
    assert space.log == [("write", 16, 0x20, 2)]
    assert space.peek(0x20, 16) == 1


def test_clear_preserves_reserved_bits_also_without_rw_fields(space):
    class REG(Register, offset=0, width=8):
        rsvd = Field(bits=(4, 7), access=RESERVED)
        err = Field(bit=0, access=W1C)

    class File(RegisterFile):
        reg = Reg(REG)

    space.poke(0, 8, 0xFF)
    File(space).reg.clear("err")
    assert space.log == [("read", 8, 0, None), ("write", 8, 0, 0xF1)]


def test_set_writes_the_w1s_field_and_no_w1c_one(space, regs):
    space.poke(0x1C, 32, 0x0001_0020)
    regs.status.set("kick")
    assert space.log[-1] == ("write", 32, 0x1C, 0x0100_0020)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda r: r.status.clear(), "Name the W1C fields: err, warn"),
        (lambda r: r.status.clear("rdy"), r"status\.rdy is RO.*err, warn"),
        (lambda r: r.status.set("err"), r"status\.err is W1C.*kick"),
        (lambda r: r.status.clear("wran"), "Did you mean 'warn'"),
        (lambda r: r.ctrl.clear("en"), "can clear: none"),
    ],
)
def test_clear_and_set_of_other_fields_touch_nothing(space, regs, call, says):
    with pytest.raises(RegisterError, match=says):
        call(regs)
    assert space.log == []


def test_clear_refuses_registers_with_write_only_fields(space, regs):
    with pytest.raises(UnsafeUpdate, match="WO fields go"):
        regs.mixed.clear("err")
    assert space.log == []
    regs.mixed.write(MIXED(err=1))


def test_clear_refuses_to_read_where_reads_have_side_effects(space):
    class REG(Register, offset=0, width=8, read_side_effects=True):
        rw = Field(bit=0)
        err = Field(bit=1, access=W1C)

    class File(RegisterFile):
        reg = Reg(REG)

    with pytest.raises(UnsafeUpdate, match="must read to keep rw"):
        File(space).reg.clear("err")
    assert space.log == []


# --- wait_until ------------------------------------------------------------------------


def test_wait_until_polls_in_the_region_with_mask_and_value(space, regs):
    space.polled.extend([0, 0x8000_0000, 0x8000_0020])
    value = regs.ctrl.wait_until(ready=1, mode=Mode.FAST, timeout_s=2.5)
    assert (type(value), int(value)) == (CTRL, 0x8000_0020)
    assert space.waits == [(0x8000_0070, 0x8000_0020, 2.5)]


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_wait_until_works_at_each_width(space, width):
    class REG(Register, offset=0, width=width):
        top = Field(bit=width - 1, access=RO)

    class File(RegisterFile):
        reg = Reg(REG)

    space.poke(0, width, 1 << (width - 1))
    assert File(space).reg.wait_until(top=1, timeout_s=0).top == 1


def test_a_time_out_names_register_wish_and_last_value(space, regs):
    space.polled.append(0x31)
    with pytest.raises(
        DeviceTimeout,
        match=r"ctrl \(fake \+ 0x14\): waited 2 s for ready=1, mode=FAST, "
        r"last value CTRL\(0x00000031, en=1, mode=unknown\(0x3\), size=0, ready=0\)",
    ) as caught:
        regs.ctrl.wait_until(ready=1, mode=Mode.FAST, timeout_s=2)
    assert caught.value.last == 0x31
    assert isinstance(caught.value.__cause__, DeviceTimeout)


def test_a_time_out_without_the_last_value_reads_it(space, regs):
    space.timeouts_say_last = False
    space.poke(0x14, 32, 0x100)
    with pytest.raises(DeviceTimeout, match="size=1"):
        regs.ctrl.wait_until(ready=1, timeout_s=1)
    assert space.log == [("read", 32, 0x14, None)]


@pytest.mark.parametrize("timeout_s", [-1, math.inf, math.nan])
def test_a_wait_without_a_deadline_is_refused(space, regs, timeout_s):
    with pytest.raises(BadArgument, match="timeout_s"):
        regs.ctrl.wait_until(ready=1, timeout_s=timeout_s)
    assert space.waits == []


def test_waiting_for_a_write_only_field_is_refused(space, regs):
    with pytest.raises(WriteOnly, match="field go is write-only"):
        regs.mixed.wait_until(go=1, timeout_s=1)


# --- all ones --------------------------------------------------------------------------


def test_all_ones_mean_gone_where_declared(space, regs):
    space.poke(0x1C, 32, 0xFFFF_FFFF)
    for call in (
        regs.status.read,
        lambda: regs.status.clear("err"),
        lambda: regs.status.wait_until(rdy=1, timeout_s=1),
    ):
        with pytest.raises(DeviceGone, match=r"status \(fake \+ 0x1c\) reads as all ones"):
            call()
    assert not [entry for entry in space.log if entry[0] == "write"]


def test_update_does_not_write_to_a_device_that_is_gone(space):
    class REG(Register, offset=0, width=64, all_ones_means_gone=True):
        f = Field(bit=0, access=RW)

    class File(RegisterFile):
        reg = Reg(REG)

    space.poke(0, 64, (1 << 64) - 1)
    with pytest.raises(DeviceGone):
        File(space).reg.update(f=0)
    with pytest.raises(DeviceGone):
        File(space).reg.read(order=Order.LOW_FIRST)
    assert [entry[0] for entry in space.log] == ["read", "read"]


def test_a_wait_notices_before_its_deadline_that_the_device_is_gone(space, regs):
    space.poke(0x1C, 32, 0xFFFF_FFFF)
    with pytest.raises(DeviceGone):
        regs.status.wait_until(rdy=0, timeout_s=127.5)
    assert len(space.waits) == 1
    assert space.waits[0][2] < 1


def test_a_wait_in_parts_lasts_as_long_as_asked(space, regs):
    with pytest.raises(DeviceTimeout, match=r"waited 0\.6 s"):
        regs.status.wait_until(rdy=1, timeout_s=0.6)
    assert sum(part for _, _, part in space.waits) == pytest.approx(0.6)


def test_all_ones_are_a_value_where_nothing_is_declared(space, regs):
    space.poke(0, 64, (1 << 64) - 1)
    assert regs.id.read() == ID((1 << 64) - 1)


def test_the_check_for_all_ones_can_be_switched_off(space):
    space.poke(0x1C, 32, 0xFFFF_FFFF)
    regs = Sample(space, gone_value=False)
    assert int(regs.status.read()) == 0xFFFF_FFFF
    assert int(regs.status.wait_until(rdy=1, timeout_s=1)) == 0xFFFF_FFFF


def test_read_raw_gives_the_number_whatever_it_is(space, regs):
    space.poke(0x1C, 32, 0xFFFF_FFFF)
    assert regs.status.read_raw() == 0xFFFF_FFFF


def test_repr_names_register_and_place_without_an_access(space, regs):
    assert repr(regs.slots[1]) == "<register slots[1] (fake + 0x84), 16 bits>"
    assert regs.slots[1].spec is SLOT.spec
    assert space.log == []
