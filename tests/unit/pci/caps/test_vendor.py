from __future__ import annotations

import pytest

from pymmio.errors import OutOfBounds, ProtocolError
from pymmio.pci import ConfigSpace, VendorSpecific

from .. import spaces


def vendor_caps(fake) -> list[VendorSpecific]:
    return [c for c in ConfigSpace(fake).capabilities() if isinstance(c, VendorSpecific)]


def test_virtio_s_structures_can_be_read():
    pci_cfg, notify, *_, common = vendor_caps(spaces.virtio_rng())
    assert pci_cfg.length == 20
    assert notify.read8(3) == 2  # VIRTIO_PCI_CAP_NOTIFY_CFG
    assert notify.read8(4) == 4  # BAR
    assert notify.read32(8) == 0x3000
    assert notify.read16(12) == 0x1000
    assert notify.read32(16) == 4  # notify_off_multiplier
    assert common.length == 16


def test_as_dict_does_not_read_the_body():
    fake = spaces.virtio_rng()
    capability = vendor_caps(fake)[0]
    fake.log.clear()
    assert capability.as_dict() == {
        "id": 9,
        "name": "vendor specific",
        "offset": 0x84,
        "length": 20,
    }
    assert [access.offset for access in fake.log] == [0x86]


@pytest.mark.parametrize(("at", "width"), [(20, 1), (19, 2), (17, 4), (-1, 1), (1000, 4)])
def test_reads_beyond_the_length_are_refused(at, width):
    capability = vendor_caps(spaces.virtio_rng())[0]
    with pytest.raises(OutOfBounds):
        getattr(capability, f"read{8 * width}")(at)


@pytest.mark.parametrize("length", [0, 2, 0x7D, 0xFF])
def test_impossible_lengths_are_refused(length):
    fake = spaces.virtio_rng()
    fake.put(0x86, 1, length)
    with pytest.raises(ProtocolError, match=f"claims {length} bytes"):
        vendor_caps(fake)[0].length


def test_a_body_that_ends_with_the_space_is_allowed():
    fake = spaces.virtio_rng()
    fake.put(0x86, 1, 0x7C)
    assert vendor_caps(fake)[0].length == 0x7C
