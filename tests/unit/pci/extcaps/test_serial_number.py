from __future__ import annotations

from pymmio.pci.extcaps import DeviceSerialNumber

from .. import dumps, spaces
from .builders import only


def test_e1000e_of_qemu():
    found = only(spaces.literal(dumps.E1000E, 4096))
    assert isinstance(found, DeviceSerialNumber)
    assert found.number == 0x5254_00FF_FF12_3456
    assert found.facts() == {"serial_number": "52-54-00-ff-ff-12-34-56"}
