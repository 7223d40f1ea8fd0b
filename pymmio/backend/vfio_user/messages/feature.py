"""Features of a device, which in this protocol all belong to migration.

vfio-user 0.1, DEVICE_FEATURE, MIG_DATA_READ, MIG_DATA_WRITE: pymmio refuses to migrate, and
needs the forms to do so.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self

from pymmio.backend.vfio_user.messages.wire import layout, take
from pymmio.errors import ProtocolError

__all__ = ["DeviceFeature", "Feature", "FeatureFlags", "MigrationData"]

_FEATURE = layout("II")
_INDEX_MASK = 0xFFFF


class Feature(enum.IntEnum):
    """Numbers of features (linux/vfio.h, struct vfio_device_feature)."""

    MIGRATION = 1
    MIG_DEVICE_STATE = 2
    DMA_LOGGING_START = 6
    DMA_LOGGING_STOP = 7
    DMA_LOGGING_REPORT = 8


class FeatureFlags(enum.IntFlag):
    """What is done with a feature; PROBE asks whether the others would be possible."""

    GET = 1 << 16
    SET = 1 << 17
    PROBE = 1 << 18


@dataclass(frozen=True, slots=True)
class DeviceFeature:
    """DEVICE_FEATURE, request and reply; ``feature`` is a number that may be unknown."""

    feature: int
    flags: FeatureFlags
    data: bytes = b""
    argsz: int = 0

    def pack(self) -> bytes:
        argsz = self.argsz or _FEATURE.size + len(self.data)
        return _FEATURE.pack(argsz, self.feature | self.flags) + self.data

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Parse it.  Raises ProtocolError where it says neither or both of get and set."""
        argsz, flags = take(_FEATURE, payload, "DEVICE_FEATURE")
        if argsz < _FEATURE.size:
            raise ProtocolError(f"DEVICE_FEATURE with room for {argsz} bytes")
        todo = FeatureFlags(flags & (FeatureFlags.GET | FeatureFlags.SET | FeatureFlags.PROBE))
        if flags != flags & _INDEX_MASK | todo:
            raise ProtocolError(f"DEVICE_FEATURE with flags {flags:#x}")
        if todo in (FeatureFlags(0), FeatureFlags.GET | FeatureFlags.SET):
            raise ProtocolError("DEVICE_FEATURE that says not what to do: one of get and set")
        return cls(flags & _INDEX_MASK, todo, payload[_FEATURE.size :], argsz)


@dataclass(frozen=True, slots=True)
class MigrationData:
    """MIG_DATA_READ and MIG_DATA_WRITE: how many bytes, and the bytes where there are any."""

    size: int
    data: bytes = b""

    def pack(self) -> bytes:
        return _FEATURE.pack(_FEATURE.size + self.size, self.size) + self.data

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        argsz, size = take(_FEATURE, payload, "migration data")
        data = payload[_FEATURE.size :]
        if argsz < _FEATURE.size or (data and len(data) != size):
            raise ProtocolError(f"migration data of {size} bytes in {len(payload)} bytes")
        return cls(size, data)
