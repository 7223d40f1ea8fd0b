"""plan() for all rules: the pieces cover the access once, and the device takes each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import AccessError, DeclarationError
from pymmio.mmio import AccessRule, Order, Violation, plan

widths = st.frozensets(st.sampled_from([1, 2, 4, 8]), min_size=1)


@st.composite
def rules(draw: st.DrawFn) -> AccessRule | None:
    try:
        return AccessRule(
            widths=draw(widths),
            device_widths=draw(widths),
            aligned=draw(st.booleans()),
            byteorder=draw(st.sampled_from(["little", "big"])),
            otherwise=draw(st.sampled_from(Violation)),
            order64=draw(st.sampled_from([None, *Order])),
        )
    except DeclarationError:
        return None


@given(
    rules(),
    st.integers(-9, 80),
    st.sampled_from([1, 2, 3, 4, 8, 16]),
    st.sampled_from([None, *Order]),
)
def test_pieces_cover_the_access_once_and_obey_the_rule(
    rule: AccessRule | None, offset: int, width: int, order: Order | None
) -> None:
    if rule is None:
        return
    try:
        pieces = plan(rule, offset, width, 64, order=order)
    except AccessError:
        return
    covered = sorted(at + i for at, piece in pieces for i in range(piece))
    assert covered == list(range(offset, offset + width))
    assert 0 <= offset
    assert offset + width <= 64
    assert width in rule.widths
    assert all(piece in rule.device_widths and at % piece == 0 for at, piece in pieces)
    if rule.aligned:
        assert offset % width == 0
    if rule.otherwise is Violation.RAISE and order is None and rule.order64 is None:
        assert len(pieces) == 1
