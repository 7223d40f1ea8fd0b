from __future__ import annotations

import pytest

from pymmio.errors import ProtocolError
from pymmio.pci import ConfigSpace
from pymmio.pci.caps import AdvancedFeatures
from pymmio.pci.caps.advanced_features import AfCapabilities, AfLength, AfStatus

from .. import spaces

HEADER = {0x00: "34 12 e8 11 00 00 10 00", 0x34: "40"}


def features(body: str) -> AdvancedFeatures:
    config = ConfigSpace(spaces.literal({**HEADER, 0x40: body}, 256))
    found = config.capability(AdvancedFeatures)
    assert found is not None
    return found


def test_function_level_reset():
    assert features("13 00 06 03 00 00").has_flr
    assert not features("13 00 06 01 00 00").has_flr
    assert features("13 00 06 03 00 01").as_dict() == {
        "id": 0x13,
        "name": "advanced features",
        "offset": 0x40,
        "flr": True,
        "transactions_pending": True,
    }


@pytest.mark.parametrize("length", ["00", "05", "07", "ff"])
def test_another_length_is_refused(length):
    with pytest.raises(ProtocolError, match="6 is the only length"):
        features(f"13 00 {length} 03 00 00").has_flr


def test_bits_are_those_of_the_specification():
    assert [(r.spec.offset, r.spec.width) for r in (AfLength, AfCapabilities, AfStatus)] == [
        (2, 8),
        (3, 8),
        (5, 8),
    ]
    assert {f.name: f.mask for f in AfCapabilities.spec.fields.values()} == {
        "transactions_pending": 1,
        "flr": 2,
    }
    assert AfStatus.transactions_pending.mask == 1
