"""A modern virtio device over PCI (virtio 1.2 §4.1): registers, queues, interrupts.

Subclasses say what the device is and serve its buffers.
"""

from __future__ import annotations

import abc
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.errors import IommuFault
from pymmio.handle import IrqKind
from pymmio.models.virtio.ring import Chain, PackedRing, Ring, RingError, SplitRing

__all__ = ["SharedMemory", "VirtioModel"]

_BAR = 4
_BAR_SIZE = 0x4000
_COMMON, _ISR, _CONFIG, _NOTIFY = 0x0000, 0x1000, 0x2000, 0x3000
_COMMON_SIZE, _ISR_SIZE, _CONFIG_SIZE, _NOTIFY_SIZE = 0x38, 4, 0x100, 0x400
_MULTIPLIER = 4
_MSIX_BAR = 1
_NO_VECTOR = 0xFFFF

_INDIRECT_DESC, _EVENT_IDX = 1 << 28, 1 << 29
_VERSION_1, _ACCESS_PLATFORM, _RING_PACKED = 1 << 32, 1 << 33, 1 << 34
_ORDER_PLATFORM = 1 << 36
_OFFERED = (
    _INDIRECT_DESC | _EVENT_IDX | _VERSION_1 | _ACCESS_PLATFORM | _RING_PACKED | _ORDER_PLATFORM
)

_DRIVER_OK, _FEATURES_OK, _NEEDS_RESET = 4, 8, 64
_ISR_QUEUE, _ISR_CONFIG = 1, 2


@dataclass(frozen=True, slots=True)
class SharedMemory:
    """A shared-memory region (§2.10): its id and where it is in a BAR of the model."""

    id: int
    bar: int
    offset: int
    size: int


@dataclass(slots=True)
class _Queue:
    size: int
    vector: int = _NO_VECTOR
    is_enabled: bool = False
    descriptors: int = 0
    driver: int = 0
    device: int = 0
    ring: Ring | None = None


class VirtioModel(DeviceModel):
    """Common configuration, notification, ISR and device configuration in BAR 4.

    ``device_type`` is virtio's device id, ``queue_sizes`` the size of each queue,
    ``device_features`` what the device offers beside the features of the ring.
    """

    vendor_id = 0x1AF4
    revision_id = 1
    subsystem_vendor_id = 0x1AF4
    subsystem_id = 0x1100
    class_code = 0x00FF00
    has_intx = True
    msix_bar = _MSIX_BAR

    device_type: int
    queue_sizes: Sequence[int] = (128,)
    device_features = 0
    shared_memory: Sequence[SharedMemory] = ()

    _generation: int

    def __init__(self) -> None:
        self.device_id = 0x1040 + self.device_type
        self.msix_vectors = 1 + len(self.queue_sizes)
        self.bars = (
            BarSpec(_MSIX_BAR, 0x1000, is_64bit=False),
            BarSpec(_BAR, _BAR_SIZE, prefetchable=True),
            *self.extra_bars(),
        )
        self.vendor_capabilities = [
            *_capabilities(),
            *(_shared_capability(one) for one in self.shared_memory),
        ]
        self.offered = _OFFERED | self.device_features
        self._power_on()

    def extra_bars(self) -> Sequence[BarSpec]:
        """Return BARs beside those of the registers: 0, 2 or 3 are free."""
        return ()

    # --- for subclasses ----------------------------------------------------------------------

    @abc.abstractmethod
    def config_bytes(self) -> bytes:
        """Return the device-specific configuration as it is now, little-endian."""

    @abc.abstractmethod
    def serve(self, queue: int, chain: Chain) -> int | None:
        """Serve a buffer; return how many bytes were written, None to ``complete`` it later."""

    def config_written(self, offset: int, width: int, value: int) -> None:
        """Take a write to the device-specific configuration; most devices have none."""

    def was_reset(self) -> None:
        """Forget what is under way: the driver has reset the device."""

    def complete(self, queue: int, chain: Chain, written: int) -> None:
        """Return a buffer that ``serve`` has kept."""
        ring = self._queues[queue].ring
        if ring is None:
            return  # the driver has reset the device meanwhile
        ring.push(chain, written)
        if ring.should_interrupt():
            self._interrupt(self._queues[queue].vector, _ISR_QUEUE)

    def config_changed(self) -> None:
        """Tell the driver that the device-specific configuration changed."""
        self._generation = (self._generation + 1) & 0xFF
        if self._status & _DRIVER_OK:
            self._interrupt(self._config_vector, _ISR_CONFIG)

    def fail(self) -> None:
        """Ask for a reset (§2.1.2)."""
        self._status |= _NEEDS_RESET
        if self._status & _DRIVER_OK:
            self._interrupt(self._config_vector, _ISR_CONFIG)

    @property
    def features(self) -> int:
        """The features that the driver took."""
        return self._features

    # --- DeviceModel -------------------------------------------------------------------------

    def reset(self) -> None:
        """Reset registers and queues."""
        self.host.lower_intx()
        self._power_on()
        self.was_reset()

    def _power_on(self) -> None:
        self._status = 0
        self._features = 0
        self._select = [0, 0]
        self._queue_select = 0
        self._config_vector = _NO_VECTOR
        self._generation = 0
        self._isr = 0
        self._queues = [_Queue(size) for size in self.queue_sizes]

    def describe(self) -> Mapping[str, str]:
        """Return the device type and its queues."""
        return {"device type": str(self.device_type), "queues": str(len(self.queue_sizes))}

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        """Read a register; what is not there reads as 0."""
        if bar != _BAR:
            return 0
        if _ISR <= offset < _ISR + _ISR_SIZE:
            value, self._isr = self._isr, 0
            self.host.lower_intx()
            return value
        if _CONFIG <= offset < _CONFIG + _CONFIG_SIZE:
            at = offset - _CONFIG
            return int.from_bytes(self.config_bytes()[at : at + width], "little")
        if offset + width <= _COMMON_SIZE:
            image = self._common_image()
            return int.from_bytes(image[offset : offset + width], "little")
        return 0

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        """Write a register; what is not there takes nothing."""
        if bar != _BAR:
            return
        if _NOTIFY <= offset < _NOTIFY + _NOTIFY_SIZE:
            self._notified((offset - _NOTIFY) // _MULTIPLIER)
        elif _CONFIG <= offset < _CONFIG + _CONFIG_SIZE:
            self.config_written(offset - _CONFIG, width, value)
        elif offset + width <= _COMMON_SIZE:
            self._common_write(offset, width, value)

    # --- common configuration (§4.1.4.3) -----------------------------------------------------

    def _queue(self) -> _Queue:
        if self._queue_select < len(self._queues):
            return self._queues[self._queue_select]
        return _Queue(0)

    def _common_image(self) -> bytes:
        queue = self._queue()
        device_half, driver_half = self._select
        return struct.pack(
            "<IIIIHHBBHHHHHQQQ",
            device_half,
            self.offered >> 32 * device_half & 0xFFFF_FFFF if device_half < 2 else 0,
            driver_half,
            self._features >> 32 * driver_half & 0xFFFF_FFFF if driver_half < 2 else 0,
            self._config_vector,
            len(self._queues),
            self._status,
            self._generation,
            self._queue_select,
            queue.size,
            queue.vector,
            queue.is_enabled,
            self._queue_select,
            queue.descriptors,
            queue.driver,
            queue.device,
        )

    def _common_write(self, offset: int, width: int, value: int) -> None:
        queue = self._queue()
        if (offset, width) == (0x00, 4):
            self._select[0] = value
        elif (offset, width) == (0x08, 4):
            self._select[1] = value
        elif (offset, width) == (0x0C, 4) and self._select[1] < 2:
            shift = 32 * self._select[1]
            kept = self._features & ~(0xFFFF_FFFF << shift)
            self._features = kept | value << shift
        elif (offset, width) == (0x10, 2):
            self._config_vector = self._vector(value)
        elif (offset, width) == (0x14, 1):
            self._write_status(value)
        elif (offset, width) == (0x16, 2):
            self._queue_select = value
        elif (offset, width) == (0x18, 2) and value <= queue.size:
            queue.size = value
        elif (offset, width) == (0x1A, 2):
            queue.vector = self._vector(value)
        elif (offset, width) == (0x1C, 2) and value == 1 and queue.size:
            queue.is_enabled = True
            self._enable(queue)
        elif 0x20 <= offset < 0x38 and width == 4:
            name = ("descriptors", "driver", "device")[(offset - 0x20) // 8]
            shift = 32 * (offset % 8 == 4)
            kept = getattr(queue, name) & ~(0xFFFF_FFFF << shift)
            setattr(queue, name, kept | value << shift)

    def _vector(self, value: int) -> int:
        return value if value < self.msix_vectors else _NO_VECTOR

    def _write_status(self, value: int) -> None:
        if value == 0:
            self.host.lower_intx()
            self._power_on()
            self.was_reset()
            return
        if value & _FEATURES_OK and not self._status & _FEATURES_OK and not self.accepts():
            value &= ~_FEATURES_OK
        self._status = value | self._status & _NEEDS_RESET

    def accepts(self) -> bool:
        """Tell whether the device works with the features that the driver took."""
        return not self._features & ~self.offered and bool(self._features & _VERSION_1)

    def _enable(self, queue: _Queue) -> None:
        kind = PackedRing if self._features & _RING_PACKED else SplitRing
        queue.ring = kind(
            self.host,
            queue.size,
            queue.descriptors,
            queue.driver,
            queue.device,
            has_event_idx=bool(self._features & _EVENT_IDX),
            has_indirect=bool(self._features & _INDIRECT_DESC),
        )

    # --- queues ------------------------------------------------------------------------------

    def _notified(self, index: int) -> None:
        if index >= len(self._queues) or not self._status & _DRIVER_OK:
            return
        if self._status & _NEEDS_RESET:
            return
        queue = self._queues[index]
        ring = queue.ring
        if ring is None:
            return
        try:
            while (chain := ring.pop()) is not None:
                written = self.serve(index, chain)
                if written is not None:
                    ring.push(chain, written)
            if ring.should_interrupt():
                self._interrupt(queue.vector, _ISR_QUEUE)
        except (RingError, IommuFault):
            self.fail()

    def _interrupt(self, vector: int, cause: int) -> None:
        """Send the vector, or assert INTx with its cause; with MSI-X on the ISR stays 0."""
        if vector != _NO_VECTOR:
            self.host.raise_irq(IrqKind.MSIX, vector)
        else:
            self._isr |= cause
            self.host.raise_irq(IrqKind.INTX)


def _capabilities() -> list[bytes]:
    """Return the vendor capabilities behind their length byte (§4.1.4)."""

    def one(cfg_type: int, offset: int, size: int, *more: int) -> bytes:
        return struct.pack(f"<BBBHII{len(more)}I", cfg_type, _BAR, 0, 0, offset, size, *more)

    return [
        one(1, _COMMON, _COMMON_SIZE),
        one(3, _ISR, _ISR_SIZE),
        one(4, _CONFIG, _CONFIG_SIZE),
        one(2, _NOTIFY, _NOTIFY_SIZE, _MULTIPLIER),
    ]


def _shared_capability(one: SharedMemory) -> bytes:
    low, high = one.offset & 0xFFFF_FFFF, one.offset >> 32
    return struct.pack(
        "<BBBHIIII", 8, one.bar, one.id, 0, low, one.size & 0xFFFF_FFFF, high, one.size >> 32
    )
