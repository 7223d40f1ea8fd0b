"""The device status field (virtio 1.2 §2.1)."""

from __future__ import annotations

import enum

__all__ = ["DeviceStatus"]


class DeviceStatus(enum.IntFlag):
    """How far driver and device have come; writing 0 resets the device."""

    ACKNOWLEDGE = 1  #: the system has seen the device
    DRIVER = 2  #: there is a driver for it
    DRIVER_OK = 4  #: the driver is set up: the device works
    FEATURES_OK = 8  #: features are negotiated
    NEEDS_RESET = 64  #: the device met an error that it cannot recover from
    FAILED = 128  #: the driver has given up
