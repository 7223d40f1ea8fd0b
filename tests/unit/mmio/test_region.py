"""What every kind of region does: mapped, behind a handle, traced, sparse."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from pymmio.errors import (
    BadArgument,
    Closed,
    DeviceTimeout,
    Misaligned,
    OutOfBounds,
    Unsupported,
    ValueOutOfRange,
    WidthRefused,
)
from pymmio.handle import Access
from pymmio.mmio import (
    PCI,
    AccessRule,
    HandleRegion,
    MappedRegion,
    Mapping,
    Order,
    Region,
    SparseRegion,
    TracedRegion,
    Violation,
)
from tests.unit.mmio.recorder import Recorder

SIZE = 8192
Make = Callable[..., Region]


def make_mapped(rule: AccessRule = PCI) -> MappedRegion:
    return MappedRegion(Mapping.of_buffer(bytearray(SIZE), "BAR0"), rule=rule)


def make_handled(rule: AccessRule = PCI) -> HandleRegion:
    recorder = Recorder(SIZE % 256)
    recorder.info = type(recorder.info)(0, "BAR0", SIZE)
    recorder.memory = bytearray(SIZE)
    return HandleRegion(recorder, access=Access.MESSAGE, rule=rule)


def make_traced(rule: AccessRule = PCI) -> TracedRegion:
    return TracedRegion(make_mapped(rule), lambda event: None)


def make_sparse(rule: AccessRule = PCI) -> SparseRegion:
    """Bytes 0x000-0xfff by calls, 0x1000-0x1fff mapped; both ways reach the same file."""
    rest = make_handled(rule)
    area = MappedRegion(Mapping.of_buffer(bytearray(4096), "BAR0"), rule=rule)
    return SparseRegion(rest, [(4096, area)])


@pytest.fixture(params=[make_mapped, make_handled, make_traced, make_sparse])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[Region] = []

    def _make(rule: AccessRule = PCI) -> Region:
        made.append(request.param(rule))
        return made[-1]

    yield _make
    for region in made:
        region.close()


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize("offset", [0, 8, 0xFF8, 0x1000, 0x1FF8])
def test_what_was_written_is_read(make: Make, width: int, offset: int) -> None:
    region = make()
    value = 0x1122334455667788 & ((1 << 8 * width) - 1)
    getattr(region, f"write{8 * width}")(offset, value)
    assert getattr(region, f"read{8 * width}")(offset) == value
    assert region.read(offset, width) == value
    assert region.read8(offset) == 0x88  # little-endian


def test_values_are_in_the_byte_order_of_the_rule(make: Make) -> None:
    region = make(AccessRule(byteorder="big"))
    region.write32(0, 0x11223344)
    assert [region.read8(i) for i in range(4)] == [0x11, 0x22, 0x33, 0x44]
    assert region.read32(0) == 0x11223344
    region.write64(8, 0x1122334455667788)
    assert region.read16(14) == 0x7788


def test_halves_are_put_together_in_either_byte_order(make: Make) -> None:
    for byteorder in ("little", "big"):
        rule = AccessRule(
            device_widths=frozenset({4}), order64=Order.HIGH_FIRST, byteorder=byteorder
        )
        region = make(rule)
        region.write64(8, 0x1122334455667788)
        assert region.read64(8) == 0x1122334455667788
        assert region.read64(8, order=Order.LOW_FIRST) == 0x1122334455667788
        first = 0x11223344 if byteorder == "big" else 0x55667788
        assert region.read32(8) == first


def test_split_accesses_are_put_together(make: Make) -> None:
    region = make(AccessRule(aligned=False, otherwise=Violation.SPLIT))
    region.write64(0xFFD, 0x1122334455667788)  # over the edge of the mapped area
    assert region.read64(0xFFD) == 0x1122334455667788
    assert region.read8(0x1004) == 0x11


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda r: r.read32(2), Misaligned),
        (lambda r: r.write64(4, 0), Misaligned),
        (lambda r: r.read32(SIZE), OutOfBounds),
        (lambda r: r.read8(-1), OutOfBounds),
        (lambda r: r.read64(SIZE - 4), OutOfBounds),
        (lambda r: r.read32(1 << 64), OutOfBounds),
        (lambda r: r.write32(-(1 << 64), 0), OutOfBounds),
        (lambda r: r.write8(0, 256), ValueOutOfRange),
        (lambda r: r.write32(0, -1), ValueOutOfRange),
        (lambda r: r.write64(0, 1 << 64), ValueOutOfRange),
        (lambda r: r.read(0, 3), WidthRefused),
        (lambda r: r.read32("0"), TypeError),
        (lambda r: r.write32(0, 1.5), TypeError),
        (lambda r: r.write32(0), TypeError),
        (lambda r: r.read32(), TypeError),
        (lambda r: r.read64(0, ordr=Order.LOW_FIRST), TypeError),
        (lambda r: r.read_block(0, 6, width=4), Misaligned),
        (lambda r: r.read_block(2, 4, width=4), Misaligned),
        (lambda r: r.read_block(0, SIZE + 4, width=4), OutOfBounds),
        (lambda r: r.read_block(0, 8, width=3), WidthRefused),
        (lambda r: r.write_block(0, b"123", width=2), Misaligned),
        (lambda r: r.window(4, 8), Misaligned),
        (lambda r: r.window(8, SIZE), OutOfBounds),
        (lambda r: r.view(), Unsupported),
        (lambda r: r.doorbell(2), Misaligned),
        (lambda r: r.doorbell(SIZE), OutOfBounds),
    ],
)
def test_refused_and_nothing_touched(
    make: Make, call: Callable[[Region], object], error: type[Exception]
) -> None:
    region = make()
    with pytest.raises(error):
        call(region)
    assert region.read_block(0, SIZE, width=8) == bytes(SIZE)


def test_a_width_that_the_rule_forbids(make: Make) -> None:
    region = make(AccessRule(widths=frozenset({4})))
    with pytest.raises(WidthRefused, match="allows 4 bytes"):
        region.read8(0)
    with pytest.raises(WidthRefused):
        region.write64(0, 1)
    region.write32(0, 5)
    assert region.read32(0) == 5


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_blocks_keep_the_bytes(make: Make, width: int) -> None:
    for byteorder in ("little", "big"):
        region = make(AccessRule(byteorder=byteorder))
        data = os.urandom(64)
        region.write_block(0x1000, data, width=width)
        assert region.read_block(0x1000, 64, width=width) == data


def test_a_combined_write_brings_the_bytes(make: Make) -> None:
    region = make()
    data = bytes(range(1, 201))
    region.write_combined(0x1000 - 64, data)  # over the edge of a page
    assert region.read_block(0x1000 - 72, 216, width=8) == bytes(8) + data + bytes(8)
    region.write_combined(0, b"")


def test_a_combined_write_wants_multiples_of_8_and_a_device_that_takes_8(make: Make) -> None:
    with pytest.raises(Misaligned):
        make().write_combined(4, bytes(8))
    with pytest.raises(Misaligned):
        make().write_combined(0, bytes(12))
    with pytest.raises(OutOfBounds):
        make().write_combined(SIZE - 8, bytes(16))
    with pytest.raises(WidthRefused):
        make(AccessRule(widths=frozenset({4}))).write_combined(0, bytes(8))


def test_a_window_is_the_same_memory_with_its_own_bounds(make: Make) -> None:
    region = make()
    window = region.window(0x1000, 0x100)
    window.write32(4, 7)
    assert region.read32(0x1004) == 7
    with pytest.raises(OutOfBounds):
        window.read32(0x100)
    inner = window.window(8, 8)
    inner.write8(0, 9)
    assert region.read8(0x1008) == 9
    window.close()
    with pytest.raises(Closed):
        window.read32(0)
    assert region.read32(0x1004) == 7  # the whole is still open


def test_a_window_can_have_another_rule(make: Make) -> None:
    window = make().window(0x1000, 64, rule=AccessRule(byteorder="big"))
    window.write16(0, 0x1122)
    assert window.read8(0) == 0x11


def test_wait_returns_the_value(make: Make) -> None:
    region = make()
    region.write32(16, 0x80000001)
    assert region.wait32(16, mask=1, value=1, timeout_s=1) == 0x80000001


def test_wait_sees_a_change_by_another_thread(make: Make) -> None:
    region = make()
    started = threading.Event()

    def change() -> None:
        started.wait(10)
        region.write8(0x1003, 0x80)

    thread = threading.Thread(target=change)
    thread.start()
    started.set()
    assert region.wait32(0x1000, mask=1 << 31, value=1 << 31, timeout_s=30) == 0x80000000
    thread.join()


def test_wait_times_out_with_the_last_value(make: Make) -> None:
    region = make()
    region.write16(0, 0x1234)
    with pytest.raises(DeviceTimeout, match="did not become 0x1") as raised:
        region.wait16(0, mask=0xF, value=1, timeout_s=0.03)
    assert raised.value.last == 0x1234
    assert isinstance(raised.value, TimeoutError)


def test_wait_reads_once_even_without_time(make: Make) -> None:
    region = make()
    assert region.wait64(8, mask=0, value=0, timeout_s=0) == 0


def test_a_wanted_value_outside_the_mask_is_an_error(make: Make) -> None:
    with pytest.raises(ValueError, match="outside the mask"):
        make().wait32(0, mask=1, value=2, timeout_s=1)


def test_close_wakes_a_thread_that_polls(make: Make) -> None:
    region = make()
    outcome: list[BaseException] = []
    polls = threading.Event()

    def poll() -> None:
        polls.set()
        try:
            region.wait32(0x1000, mask=1, value=1, timeout_s=60)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    assert polls.wait(10)
    region.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [type(error) for error in outcome] == [Closed]


def test_use_after_close_raises_and_closing_twice_is_fine(make: Make) -> None:
    region = make()
    region.close()
    region.close()
    assert region.closed
    for call in (
        lambda: region.read32(0),
        lambda: region.write8(0, 1),
        lambda: region.read_block(0, 8, width=4),
        lambda: region.wait32(0, mask=1, value=1, timeout_s=1),
        lambda: region.doorbell(0),
    ):
        with pytest.raises(Closed):
            call()
    assert "closed" in repr(region)


def test_flush_reads_back_but_not_where_reads_have_side_effects(make: Make) -> None:
    make().flush_writes()
    with pytest.raises(Unsupported):
        make(AccessRule(read_side_effects=True)).flush_writes()


def test_a_doorbell_writes_32_bits(make: Make) -> None:
    for byteorder in ("little", "big"):
        region = make(AccessRule(byteorder=byteorder))
        doorbell = region.doorbell(0x1008)
        doorbell.ring(0x11223344)
        assert region.read32(0x1008) == 0x11223344
        assert doorbell.rings == 1


def test_a_doorbell_of_two_bytes_leaves_its_neighbours(make: Make) -> None:
    for byteorder in ("little", "big"):
        region = make(AccessRule(byteorder=byteorder))
        region.write64(0x1008, 0)
        region.doorbell(0x100A, 2).ring(0x1122)
        assert region.read16(0x100A) == 0x1122
        assert (region.read16(0x1008), region.read32(0x100C)) == (0, 0)
        with pytest.raises(Misaligned):
            region.doorbell(0x1009, 2)
        with pytest.raises(BadArgument):
            region.doorbell(0x1008, 8)


def test_a_doorbell_of_a_closed_region_raises(make: Make) -> None:
    region = make()
    doorbell = region.doorbell(0x1008)
    region.close()
    with pytest.raises(Closed):
        doorbell.ring(1)


def test_regions_are_context_managers(make: Make) -> None:
    with make() as region:
        assert not region.closed
    assert region.closed
