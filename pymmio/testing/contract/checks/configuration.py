"""Configuration space: it is what PCI says, in each width, and only what is written changes."""

from __future__ import annotations

from pymmio.errors import Misaligned, OutOfBounds, WidthRefused
from pymmio.handle import CONFIG_REGION
from pymmio.pci import Command, Msi, MsiX
from pymmio.testing.contract.check import Group, check
from pymmio.testing.contract.expect import raises
from pymmio.testing.contract.subject import Subject

_CACHE_LINE_SIZE, _INTERRUPT_LINE = 0x0C, 0x3C
_HEADER = 0x40


@check(Group.REGIONS)
def configuration_space_identifies_the_device(subject: Subject) -> None:
    """Configuration space says which device it is."""
    with subject.exerciser() as exerciser:
        exerciser.identify()


@check(Group.REGIONS)
def configuration_space_agrees_in_all_widths(subject: Subject) -> None:
    """Bytes, words and double words of the header are parts of each other, low byte first."""
    with subject.open() as device:
        config = device.region(CONFIG_REGION)
        for at in range(0, _HEADER, 4):
            dword = config.read32(at)
            words = [config.read16(at + part) for part in (0, 2)]
            octets = [config.read8(at + part) for part in range(4)]
            assert words[0] | words[1] << 16 == dword, f"words and double word at {at:#x} differ"
            assert bytes(octets) == dword.to_bytes(4, "little"), f"bytes at {at:#x} differ"


@check(Group.REGIONS)
def the_handle_speaks_little_endian(subject: Subject) -> None:
    """The backend's own reads and writes are numbers of little-endian bytes."""
    with subject.open() as device:
        region = device.region(CONFIG_REGION)
        raw = device.handle.open_region(CONFIG_REGION)
        for at in range(0, _HEADER, 4):
            octets = bytes(raw.read(at + part, 1) for part in range(4))
            assert raw.read(at, 4).to_bytes(4, "little") == octets, hex(at)
            assert raw.read(at + 2, 2).to_bytes(2, "little") == octets[2:], hex(at)
            assert region.read32(at).to_bytes(4, "little") == octets, hex(at)


@check(Group.REGIONS)
def writes_of_bytes_change_these_bytes_alone(subject: Subject) -> None:
    """A write of one byte of configuration space leaves its neighbours."""
    with subject.open() as device:
        config = device.region(CONFIG_REGION)
        for at in (_CACHE_LINE_SIZE, _INTERRUPT_LINE):
            before = config.read32(at)
            try:
                for value in (0x10, 0x00, 0x08):
                    config.write8(at, value)
                    after = config.read32(at)
                    assert after >> 8 == before >> 8, f"{before:#x} became {after:#x} at {at:#x}"
                    # Some devices have no such register: then nothing changes at all.
                    assert after & 0xFF in (value, before & 0xFF), hex(after)
            finally:
                config.write8(at, before & 0xFF)


@check(Group.REGIONS)
def the_interrupt_line_keeps_what_is_written(subject: Subject) -> None:
    """The register of the interrupt line can be written (PCI Local Bus 3.0 §6.2.4)."""
    with subject.open() as device:
        config = device.region(CONFIG_REGION)
        before = config.read8(_INTERRUPT_LINE)
        try:
            for value in (0x5A, 0xA5):
                config.write8(_INTERRUPT_LINE, value)
                assert config.read8(_INTERRUPT_LINE) == value
        finally:
            config.write8(_INTERRUPT_LINE, before)


@check(Group.REGIONS)
def identity_cannot_be_written(subject: Subject) -> None:
    """Vendor, device and class are read-only."""
    with subject.open() as device:
        config = device.region(CONFIG_REGION)
        before = config.read32(0), config.read32(8)
        for at in (0, 2, 8, 10):
            config.write16(at, 0xFFFF)
            config.write16(at, 0)
        assert (config.read32(0), config.read32(8)) == before


@check(Group.REGIONS)
def configuration_space_takes_at_most_32_bits(subject: Subject) -> None:
    """Accesses of 64 bits, misaligned ones and those beyond the end are refused."""
    with subject.open() as device:
        config = device.region(CONFIG_REGION)
        raises(WidthRefused, lambda: config.read64(0))
        raises(Misaligned, lambda: config.read32(1))
        raises(Misaligned, lambda: config.read16(3))
        raises(OutOfBounds, lambda: config.read32(config.size))
        raises(OutOfBounds, lambda: config.read16(config.size - 1))


@check(Group.REGIONS)
def decoding_is_on_and_bus_mastering_is_off(subject: Subject) -> None:
    """An opened device answers; it accesses memory only when it is told that it may."""
    with subject.open() as device:
        assert device.config.command & Command.MEMORY
        assert not device.config.command & Command.BUS_MASTER
        device.enable_bus_master()
        assert device.config.command & Command.BUS_MASTER
        device.disable_bus_master()
        assert not device.config.command & Command.BUS_MASTER
        assert device.config.command & Command.MEMORY


@check(Group.REGIONS)
def interrupt_capabilities_agree_with_the_counts(subject: Subject) -> None:
    """As many vectors as the capabilities say can be had."""
    with subject.open() as device:
        for capability, vectors in (
            (device.config.capability(MsiX), device.irqs.msix),
            (device.config.capability(Msi), device.irqs.msi),
        ):
            if len(vectors):
                assert capability is not None, f"{len(vectors)} vectors without a capability"
                assert len(vectors) <= capability.vectors, (len(vectors), capability.vectors)
