"""Virtio over PCI (virtio 1.2 §4.1): modern devices only."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from pymmio.device import Device
from pymmio.errors import (
    DeviceNotFound,
    OutOfBounds,
    ProtocolError,
    PymmioError,
    Unsupported,
)
from pymmio.irq import Interrupt
from pymmio.mmio import AccessRule, Order, Region
from pymmio.mmio.doorbell import Doorbell
from pymmio.virtio.features import FeatureSet
from pymmio.virtio.status import DeviceStatus
from pymmio.virtio.transport.base import QueueAddresses, SharedMemoryInfo
from pymmio.virtio.transport.capability import CfgType, VirtioCapability, read_capabilities
from pymmio.virtio.transport.registers import CommonRegisters, VectorRegister

__all__ = ["VENDOR_ID", "PciTransport"]

VENDOR_ID = 0x1AF4  # §4.1.2
_MODERN_BASE = 0x1040  # PCI device id = this + virtio device id
_TRANSITIONAL = {0x1000: 1, 0x1001: 2, 0x1002: 5, 0x1003: 3, 0x1004: 8, 0x1005: 4, 0x1009: 9}
_TRANSITIONAL_LAST = 0x103F

_COMMON_SIZE = 0x38
_RULE = AccessRule(
    widths=frozenset({1, 2, 4, 8}),
    device_widths=frozenset({1, 2, 4}),  # §4.1.3.1: fields of 64 bits are two of 32
    order64=Order.LOW_FIRST,
)
_DOORBELL_RULE = AccessRule(widths=frozenset({2, 4}), device_widths=frozenset({2, 4}))
_ISR_RULE = AccessRule(widths=frozenset({1}), device_widths=frozenset({1}), read_side_effects=True)
_ISR_SIZE = 1
_ALIGNMENT = {  # §4.1.4.3, §4.1.4.4, §4.1.4.6; memory is copied in 8 bytes
    CfgType.COMMON: 4,
    CfgType.NOTIFY: 2,
    CfgType.DEVICE: 4,
    CfgType.SHARED_MEMORY: 8,
}


class PciTransport:
    """A :class:`~pymmio.virtio.transport.Transport` over an open PCI device.

    Nothing is written to the device before a method says so.  Raises Unsupported for a device
    that is no virtio device, or a legacy one, ProtocolError where its capabilities point outside
    its BARs.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self.name = f"{device.name} (virtio)"
        self.device_type = _device_type(device)
        self._capabilities = read_capabilities(device.config)
        common = self._first(CfgType.COMMON)
        if common is None:
            raise Unsupported(
                f"{device.name} has no modern interface: a legacy virtio device",
                hint="With QEMU give the device disable-modern=off,disable-legacy=on",
            )
        self._common = CommonRegisters(self._window(common, "common", _RULE, _COMMON_SIZE))
        self._notify = self._require(CfgType.NOTIFY)
        self._notify_region = self._window(self._notify, "notify", _DOORBELL_RULE)
        self._isr = self._window(self._require(CfgType.ISR), "ISR", _ISR_RULE, _ISR_SIZE)
        config = self._first(CfgType.DEVICE)
        self._config = None if config is None else self._window(config, "config", _RULE)
        self._vectors: dict[int, int] = {}
        self.is_level = False
        self._shared = {one.id: one for one in self._of(CfgType.SHARED_MEMORY)[::-1]}

    # --- registers ------------------------------------------------------------------------

    @property
    def queue_count(self) -> int:
        """How many virtqueues the device has at most."""
        return int(self._common.num_queues.read())

    @property
    def is_translated(self) -> bool:
        """Whether the device's addresses are not the machine's."""
        return self._device.dma.translates

    def read_status(self) -> DeviceStatus:
        """Read device_status.  Raises DeviceGone where nothing answers."""
        return DeviceStatus(int(self._common.device_status.read()))

    def write_status(self, status: DeviceStatus) -> None:
        """Write device_status; 0 resets."""
        self._common.device_status.write(int(status))

    def read_features(self) -> FeatureSet:
        """Read the 64 feature bits in two halves."""
        value = 0
        for half in (0, 1):
            self._common.device_feature_select.write(half)
            value |= int(self._common.device_feature.read()) << 32 * half
        return FeatureSet(value)

    def write_features(self, features: FeatureSet) -> None:
        """Write the 64 feature bits in two halves."""
        for half in (0, 1):
            self._common.driver_feature_select.write(half)
            self._common.driver_feature.write(features.value >> 32 * half & 0xFFFF_FFFF)

    def read_generation(self) -> int:
        """Read config_generation."""
        return int(self._common.config_generation.read())

    @property
    def config_size(self) -> int:
        """Bytes of the device-specific structure, 0 if there is none."""
        return 0 if self._config is None else self._config.size

    def read_config(self, offset: int, width: int) -> int:
        """Read one field of the device-specific structure.  Raises DeviceGone."""
        value = self._require_config(offset, width).read(offset, width)
        if value == (1 << 8 * width) - 1:
            self.read_status()  # a device that has left reads as all ones
        return value

    def write_config(self, offset: int, width: int, value: int) -> None:
        """Write one field of the device-specific structure."""
        self._require_config(offset, width).write(offset, width, value)

    def _require_config(self, offset: int, width: int) -> Region:
        if self._config is None:
            raise OutOfBounds(
                f"{self.name} has no device-specific configuration",
                region="virtio config",
                offset=offset,
                width=width,
            )
        return self._config

    # --- queues ---------------------------------------------------------------------------

    def queue_size(self, index: int) -> int:
        """Return the size that the device offers for a queue, 0 if there is no such queue."""
        self._common.queue_select.write(index)
        return int(self._common.queue_size.read())

    def enable_queue(self, index: int, size: int, where: QueueAddresses) -> Doorbell:
        """Set up a queue and switch it on.  Raises ProtocolError if it is on already."""
        regs = self._common
        regs.queue_select.write(index)
        if int(regs.queue_enable.read()):
            self.read_status()  # a device that has left says so to everything
            raise ProtocolError(f"{self.name}: queue {index} is on before it was set up")
        regs.queue_size.write(size)
        if index in self._vectors:
            self._set_vector(regs.queue_msix_vector, self._vectors[index], f"queue {index}")
        regs.queue_desc.write(where.descriptors, order=Order.LOW_FIRST)
        regs.queue_driver.write(where.driver, order=Order.LOW_FIRST)
        regs.queue_device.write(where.device, order=Order.LOW_FIRST)
        doorbell = self._doorbell(index, int(regs.queue_notify_off.read()))
        try:
            regs.queue_enable.write(1)
        except PymmioError:
            doorbell.close()
            raise
        return doorbell

    def _doorbell(self, index: int, notify_off: int) -> Doorbell:
        at = notify_off * self._notify.multiplier  # §4.1.4.4
        if at % 2 or at + 2 > self._notify_region.size:
            raise ProtocolError(
                f"{self.name}: queue {index} is notified at {at:#x}, which is odd or outside the"
                f" {self._notify_region.size:#x} bytes of the notification structure"
            )
        return self._notify_region.doorbell(at, 2)

    # --- interrupts -----------------------------------------------------------------------

    def enable_interrupts(self, queues: Sequence[int]) -> tuple[Interrupt, ...] | None:
        """Take MSI-X vectors: one for configuration and one a queue, or what there is; or INTx."""
        irqs = self._device.irqs
        if len(irqs.msix):
            wanted = min(len(irqs.msix), 1 + len(queues))
            vectors = irqs.msix.enable(wanted, partial=True)
            last = len(vectors) - 1
            numbers = [min(i, last) for i in range(1 + len(queues))]
            with ExitStack() as undo:
                undo.callback(irqs.msix.disable)
                self._set_vector(self._common.config_msix_vector, 0, "configuration changes")
                undo.pop_all()
            self._vectors = dict(zip(queues, numbers[1:]))
            self.is_level = False
            return tuple(vectors[number] for number in numbers)
        self._vectors = {}
        if len(irqs.intx):
            self.is_level = True
            return (irqs.intx[0],) * (1 + len(queues))
        return None

    def disable_interrupts(self) -> None:
        """Switch off all vectors of the device."""
        self._vectors = {}
        if self.is_level:
            self._device.irqs.intx.disable()
        else:
            self._device.irqs.msix.disable()

    def _set_vector(self, register: VectorRegister, vector: int, what: str) -> None:
        register.write(vector)
        if int(register.read()) != vector:  # NO_VECTOR where it cannot (§4.1.5.1.2)
            self.read_status()
            raise Unsupported(
                f"{self.name}: the device has no room for MSI-X vector {vector} of {what}",
                hint="Use fewer queues, or poll: interrupts=False",
            )

    def acknowledge_interrupt(self) -> int:
        """Read the ISR status, which deasserts INTx (§4.1.4.5)."""
        return self._isr.read8(0)

    # --- shared memory --------------------------------------------------------------------

    def shared_memory(self) -> Sequence[SharedMemoryInfo]:
        """Return the shared-memory regions, by id; of those with one id the first."""
        return [
            SharedMemoryInfo(one.id, one.length, f"BAR{one.bar} at {one.offset:#x}")
            for one in sorted(self._shared.values(), key=lambda one: one.id)
        ]

    def open_shared_memory(self, id: int) -> Region:
        """Return the region of shared memory ``id``, with the rule of its BAR."""
        one = self._shared.get(id)
        if one is None:
            having = ", ".join(map(str, sorted(self._shared))) or "none"
            raise DeviceNotFound(
                f"{self.name} has no shared-memory region {id}", hint=f"It has {having}"
            )
        return self._window(one, f"shared memory {id}")

    # --- structures -----------------------------------------------------------------------

    def _of(self, cfg_type: CfgType) -> list[VirtioCapability]:
        return [one for one in self._capabilities if one.cfg_type is cfg_type]

    def _first(self, cfg_type: CfgType) -> VirtioCapability | None:
        """Return the first of a kind whose BAR is memory that exists (§4.1.4.1)."""
        found = self._of(cfg_type)
        return next((one for one in found if one.bar in self._device.regions), None)

    def _require(self, cfg_type: CfgType) -> VirtioCapability:
        found = self._first(cfg_type)
        if found is None:
            raise ProtocolError(f"{self.name} has no capability for {cfg_type.name}")
        return found

    def _window(
        self, where: VirtioCapability, what: str, rule: AccessRule | None = None, least: int = 1
    ) -> Region:
        """Return a region over a structure, checked against its BAR."""
        bar = self._device.regions.get(where.bar)
        size = 0 if bar is None else bar.size
        if where.length < least or where.offset + where.length > size:
            raise ProtocolError(
                f"{self.name}: {where} does not fit: BAR{where.bar} has {size:#x} bytes, and"
                f" at least {least:#x} are needed"
            )
        alignment = _ALIGNMENT.get(where.cfg_type, 1)
        if where.offset % alignment:
            raise ProtocolError(
                f"{self.name}: {where} does not fit: its offset is no multiple of {alignment}"
            )
        name = f"{self._device.name} virtio {what}"
        region = self._device.region(where.bar)
        return region.window(where.offset, where.length, name=name, rule=rule or region.rule)


def _device_type(device: Device) -> int:
    vendor, product = device.config.vendor_id, device.config.device_id
    if vendor != VENDOR_ID or not 0x1000 <= product <= 0x107F:
        raise Unsupported(
            f"{device.name} ({vendor:04x}:{product:04x}) is no virtio device",
            hint="Virtio over PCI has vendor 1af4 and devices 1000 to 107f",
        )
    if product > _TRANSITIONAL_LAST:
        return product - _MODERN_BASE
    return _TRANSITIONAL.get(product, device.config.read16(0x2E))  # §4.1.2.3: subsystem id
