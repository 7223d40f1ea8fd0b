"""The log of a device, read through its window."""

from __future__ import annotations

import pytest

import pymmio
from pymmio.check.rules import DeviceRecorder, Seen
from pymmio.errors import ProtocolError, Unsupported
from pymmio.models.access_recorder import AccessRecorderModel
from pymmio.testing import open_model


def test_it_gives_what_came_since_the_last_call():
    with open_model(AccessRecorderModel()) as device:
        device.region(0).read8(0)
        recorder = DeviceRecorder(device)
        device.region(0).write32(0x1000, 0xDEADBEEF)
        value = device.region(0).read64(8)
        assert recorder.take() == [
            Seen(0x1000, 4, True, 0xDEADBEEF),
            Seen(8, 8, False, value),
        ]
        assert recorder.take() == []


def test_lost_accesses_are_an_error():
    with open_model(AccessRecorderModel(limit=1)) as device:
        recorder = DeviceRecorder(device)
        device.region(0).read8(0)
        device.region(0).read8(0)
        with pytest.raises(ProtocolError, match="lost 1"):
            recorder.take()
        assert recorder.take() == []


def test_other_devices_keep_no_log():
    with pymmio.open_device("sim:edu") as device, pytest.raises(Unsupported, match="no log"):
        DeviceRecorder(device)
