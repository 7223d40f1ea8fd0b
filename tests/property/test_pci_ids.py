from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pymmio.pci import PciIds, PciNames

line = st.from_regex(r"\t{0,3}(C )?[0-9a-fA-F]{0,4}( [0-9a-f]{4})?( {0,2})\w{0,6}", fullmatch=True)


@given(st.lists(line | st.text(max_size=20)), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFF))
def test_any_file_parses_and_every_device_has_a_description(lines, number, class_code):
    names = PciNames.parse(lines)
    assert all(1 <= len(key) <= 6 for key in names.ids)
    assert names.describe(PciIds(number, number, class_code))
    assert names.class_name(class_code)
