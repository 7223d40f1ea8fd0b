"""The common configuration structure of virtio over PCI (virtio 1.2 §4.1.4.3)."""

from __future__ import annotations

from pymmio.regs import RO, RW, BoundRegister, Field, Reg, Register, RegisterFile

__all__ = ["NO_VECTOR", "CommonRegisters", "VectorRegister"]

NO_VECTOR = 0xFFFF
"""VIRTIO_MSI_NO_VECTOR (§4.1.5.1.2)."""


class DeviceFeatureSelect(Register, offset=0x00, width=32, access=RW):
    """Which 32 bits of the device's features DeviceFeature shows."""

    value = Field(bits=(0, 31))


class DeviceFeature(Register, offset=0x04, width=32, access=RO):
    """Features that the device offers."""

    value = Field(bits=(0, 31))


class DriverFeatureSelect(Register, offset=0x08, width=32, access=RW):
    """Which 32 bits of the driver's features DriverFeature takes."""

    value = Field(bits=(0, 31))


class DriverFeature(Register, offset=0x0C, width=32, access=RW):
    """Features that the driver takes."""

    value = Field(bits=(0, 31))


class ConfigMsixVector(Register, offset=0x10, width=16, access=RW):
    """The MSI-X vector of configuration changes."""

    value = Field(bits=(0, 15))


class NumQueues(Register, offset=0x12, width=16, access=RO):
    """The largest number of virtqueues."""

    value = Field(bits=(0, 15))


class Status(Register, offset=0x14, width=8, access=RW, all_ones_means_gone=True):
    """The device status; writing 0 resets the device."""

    value = Field(bits=(0, 7))


class ConfigGeneration(Register, offset=0x15, width=8, access=RO):
    """Changes whenever the device-specific configuration does."""

    value = Field(bits=(0, 7))


class QueueSelect(Register, offset=0x16, width=16, access=RW):
    """Which queue the registers from here on are about."""

    value = Field(bits=(0, 15))


class QueueSize(Register, offset=0x18, width=16, access=RW):
    """Descriptors of the queue: at reset the most that the device takes, 0 for no queue."""

    value = Field(bits=(0, 15))


class QueueMsixVector(Register, offset=0x1A, width=16, access=RW):
    """The MSI-X vector of the queue."""

    value = Field(bits=(0, 15))


class QueueEnable(Register, offset=0x1C, width=16, access=RW):
    """1 switches the queue on; only a reset switches it off."""

    value = Field(bits=(0, 15))


class QueueNotifyOff(Register, offset=0x1E, width=16, access=RO):
    """Where the queue is notified, times the multiplier of the notification capability."""

    value = Field(bits=(0, 15))


class QueueDesc(Register, offset=0x20, width=64, access=RW):
    """Where the device finds the descriptor area."""

    value = Field(bits=(0, 63))


class QueueDriver(Register, offset=0x28, width=64, access=RW):
    """Where the device finds the driver area."""

    value = Field(bits=(0, 63))


class QueueDevice(Register, offset=0x30, width=64, access=RW):
    """Where the device finds the device area."""

    value = Field(bits=(0, 63))


class CommonRegisters(RegisterFile):
    """struct virtio_pci_common_cfg, up to what every modern device has."""

    device_feature_select = Reg(DeviceFeatureSelect)
    device_feature = Reg(DeviceFeature)
    driver_feature_select = Reg(DriverFeatureSelect)
    driver_feature = Reg(DriverFeature)
    config_msix_vector = Reg(ConfigMsixVector)
    num_queues = Reg(NumQueues)
    device_status = Reg(Status)
    config_generation = Reg(ConfigGeneration)
    queue_select = Reg(QueueSelect)
    queue_size = Reg(QueueSize)
    queue_msix_vector = Reg(QueueMsixVector)
    queue_enable = Reg(QueueEnable)
    queue_notify_off = Reg(QueueNotifyOff)
    queue_desc = Reg(QueueDesc)
    queue_driver = Reg(QueueDriver)
    queue_device = Reg(QueueDevice)


VectorRegister = BoundRegister[ConfigMsixVector] | BoundRegister[QueueMsixVector]
"""A register that takes a vector, or NO_VECTOR."""
