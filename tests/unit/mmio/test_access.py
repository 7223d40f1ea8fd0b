"""AccessRule and plan(): literal cases."""

from __future__ import annotations

import pytest

from pymmio.errors import DeclarationError, Misaligned, OutOfBounds, ValueOutOfRange, WidthRefused
from pymmio.mmio import PCI, AccessRule, Order, Violation, plan
from pymmio.mmio.access import check_value

ONLY_32 = frozenset({4})
SPLIT = AccessRule(aligned=False, otherwise=Violation.SPLIT)
BYTES = AccessRule(aligned=False, otherwise=Violation.BYTES)


def test_the_default_is_little_endian_natural_and_raises() -> None:
    assert PCI == AccessRule(
        widths=frozenset({1, 2, 4, 8}),
        device_widths=frozenset({1, 2, 4, 8}),
        aligned=True,
        byteorder="little",
        otherwise=Violation.RAISE,
        order64=None,
        read_side_effects=False,
        ram_like=False,
    )


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_an_aligned_access_is_one_access(width: int) -> None:
    assert plan(PCI, 16, width, 64) == ((16, width),)


@pytest.mark.parametrize(("offset", "width"), [(1, 2), (2, 4), (4, 8), (3, 4), (7, 2)])
def test_misaligned_raises_by_default(offset: int, width: int) -> None:
    with pytest.raises(Misaligned, match=f"{width} bytes at {offset:#x}") as raised:
        plan(PCI, offset, width, 64, region="BAR0")
    assert (raised.value.offset, raised.value.width) == (offset, width)


@pytest.mark.parametrize(("offset", "width"), [(-1, 1), (61, 4), (64, 1), (60, 8), (1 << 70, 1)])
def test_outside_raises_before_anything_else(offset: int, width: int) -> None:
    with pytest.raises(OutOfBounds):
        plan(PCI, offset, width, 64)


@pytest.mark.parametrize("width", [0, 3, 5, 16, -1])
def test_no_such_width(width: int) -> None:
    with pytest.raises(WidthRefused):
        plan(PCI, 0, width, 64)


def test_a_width_that_callers_may_not_use() -> None:
    with pytest.raises(WidthRefused, match="allows 4 bytes"):
        plan(AccessRule(widths=ONLY_32), 0, 8, 64)


@pytest.mark.parametrize(
    ("offset", "width", "pieces"),
    [
        (1, 2, ((1, 1), (2, 1))),
        (1, 4, ((1, 1), (2, 2), (4, 1))),
        (2, 4, ((2, 2), (4, 2))),
        (3, 4, ((3, 1), (4, 2), (6, 1))),
        (1, 8, ((1, 1), (2, 2), (4, 4), (8, 1))),
        (4, 8, ((4, 4), (8, 4))),
        (7, 8, ((7, 1), (8, 4), (12, 2), (14, 1))),
    ],
)
def test_split_is_naturally_aligned_low_address_first(
    offset: int, width: int, pieces: tuple[tuple[int, int], ...]
) -> None:
    assert plan(SPLIT, offset, width, 64) == pieces


def test_bytes_are_single_bytes_low_address_first() -> None:
    assert plan(BYTES, 3, 4, 64) == ((3, 1), (4, 1), (5, 1), (6, 1))


def test_an_aligned_access_is_not_split_where_the_device_takes_it() -> None:
    assert plan(BYTES, 8, 8, 64) == ((8, 8),)


def test_a_device_without_64_bits_gets_halves_in_the_declared_order() -> None:
    low = AccessRule(device_widths=ONLY_32, order64=Order.LOW_FIRST)
    high = AccessRule(device_widths=ONLY_32, order64=Order.HIGH_FIRST)
    assert plan(low, 8, 8, 64) == ((8, 4), (12, 4))
    assert plan(high, 8, 8, 64) == ((12, 4), (8, 4))


def test_a_device_without_64_bits_and_without_an_order_refuses() -> None:
    with pytest.raises(WidthRefused, match="the device takes 4 bytes"):
        plan(AccessRule(device_widths=ONLY_32), 8, 8, 64)


def test_an_explicit_order_splits_even_where_64_bits_work() -> None:
    assert plan(PCI, 8, 8, 64, order=Order.HIGH_FIRST) == ((12, 4), (8, 4))


def test_an_explicit_order_does_not_allow_misaligned_accesses() -> None:
    with pytest.raises(Misaligned):
        plan(PCI, 4, 8, 64, order=Order.LOW_FIRST)


def test_pieces_that_the_device_cannot_get_are_refused() -> None:
    rule = AccessRule(aligned=False, device_widths=ONLY_32, otherwise=Violation.SPLIT)
    with pytest.raises(WidthRefused):
        plan(rule, 1, 2, 64)


@pytest.mark.parametrize(
    "arguments",
    [
        {"widths": frozenset()},
        {"device_widths": frozenset({3})},
        {"byteorder": "native"},
        {"aligned": False},
        {"device_widths": ONLY_32, "otherwise": Violation.BYTES},
        {"device_widths": frozenset({1}), "order64": Order.LOW_FIRST},
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(DeclarationError):
        AccessRule(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "width"), [(-1, 4), (256, 1), (1 << 32, 4), (1 << 64, 8)])
def test_values_that_do_not_fit(value: int, width: int) -> None:
    with pytest.raises(ValueOutOfRange):
        check_value(value, width, "BAR0", 0)


def test_any_collection_of_widths_will_do() -> None:
    rule = AccessRule(widths={4}, device_widths=[1, 4])  # type: ignore[arg-type]
    assert rule == AccessRule(widths=ONLY_32, device_widths=frozenset({1, 4}))
    assert hash(rule) == hash(AccessRule(widths=ONLY_32, device_widths=frozenset({1, 4})))
