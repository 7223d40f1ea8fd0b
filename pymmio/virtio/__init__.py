"""Virtio devices (virtio 1.2), whatever their transport."""

from pymmio.virtio.config import VirtioConfig
from pymmio.virtio.device import VirtioDevice
from pymmio.virtio.features import (
    ACCESS_PLATFORM,
    EVENT_IDX,
    INDIRECT_DESC,
    ORDER_PLATFORM,
    RING_PACKED,
    VERSION_1,
    Feature,
    FeatureSet,
)
from pymmio.virtio.queue.virtqueue import Virtqueue
from pymmio.virtio.status import DeviceStatus
from pymmio.virtio.transport import PciTransport, SharedMemoryInfo, Transport

__all__ = [
    "ACCESS_PLATFORM",
    "EVENT_IDX",
    "INDIRECT_DESC",
    "ORDER_PLATFORM",
    "RING_PACKED",
    "VERSION_1",
    "DeviceStatus",
    "Feature",
    "FeatureSet",
    "PciTransport",
    "SharedMemoryInfo",
    "Transport",
    "VirtioConfig",
    "VirtioDevice",
    "Virtqueue",
]
