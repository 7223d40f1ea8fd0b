from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pymmio.errors import UriError
from pymmio.pci import PciAddress

addresses = st.builds(
    PciAddress,
    domain=st.integers(0, 0xFFFF_FFFF),
    bus=st.integers(0, 0xFF),
    device=st.integers(0, 0x1F),
    function=st.integers(0, 7),
)


@given(addresses)
def test_text_round_trips(address):
    assert PciAddress.parse(str(address)) == address


@given(st.text() | st.from_regex(r"[0-9a-fA-F:.]{0,20}", fullmatch=True))
def test_parse_gives_an_address_or_a_uri_error(text):
    try:
        address = PciAddress.parse(text)
    except UriError:
        return
    assert PciAddress.parse(str(address)) == address
