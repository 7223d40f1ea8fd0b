"""Claims on ranges, against a reference that looks at every address by itself."""

from __future__ import annotations

import contextlib
import itertools

from hypothesis import given
from hypothesis import strategies as st

from pymmio.backend.sysfs.iomem import Kind, Resource, claims_on, parse_iomem
from pymmio.errors import PermissionRefused, ProtocolError

NAMES = {
    "System RAM": Kind.RAM,
    "Kernel code": Kind.RAM,
    "Reserved": Kind.OWNED,
    "nvme": Kind.OWNED,
    "PCI Bus 0000:00": Kind.WINDOW,
    "0000:00:01.0": Kind.FUNCTION,
    "Persistent Memory": Kind.PERSISTENT,
}
LAST = 63


@st.composite
def lines(draw, first=0, last=LAST, depth=0):
    """Nested lines without overlap, as the kernel's tree has them."""
    cuts = sorted(draw(st.sets(st.integers(first, last + 1), max_size=6)))
    found = []
    for begin, end in zip(cuts[::2], cuts[1::2], strict=False):
        inside = draw(lines(begin, end - 1, depth + 1)) if depth < 3 else ()
        name = draw(st.sampled_from(sorted(NAMES)))
        found.append(Resource(begin, end - 1, name, list(inside)))
    return tuple(found)


def text_of(resources, level=0):
    return "".join(
        f"{'  ' * level}{one.first:08x}-{one.last:08x} : {one.name}\n"
        + text_of(one.children, level + 1)
        for one in resources
    )


def kind_of(resources, address, around=Kind.UNLISTED):
    """The kind of one address: the outermost owner, else the innermost line."""
    for one in resources:
        if one.first <= address <= one.last:
            kind = NAMES[one.name]
            return kind if kind in (Kind.RAM, Kind.OWNED) else kind_of(one.children, address, kind)
    return around


@given(lines(), st.integers(0, LAST), st.integers(0, LAST))
def test_claims_cover_a_range_and_say_what_each_address_is(resources, one, other):
    first, last = min(one, other), max(one, other)
    claims = claims_on(resources, first, last)
    assert (claims[0].first, claims[-1].last) == (first, last)
    assert all(a.last + 1 == b.first for a, b in itertools.pairwise(claims))
    for claim in claims:
        assert claim.first <= claim.last
        for address in range(claim.first, claim.last + 1):
            assert kind_of(resources, address) is claim.kind


@given(lines())
def test_the_text_says_what_the_tree_is(resources):
    if not any(one.last for one in resources):
        return  # what the kernel hides looks like this
    assert parse_iomem(text_of(resources)) == resources


@given(st.text(alphabet="0f- :\n\tx", max_size=80))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ProtocolError, PermissionRefused):
        parse_iomem(text)
