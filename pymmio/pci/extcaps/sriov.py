"""Single root I/O virtualisation: how many virtual functions, and where they are."""

from __future__ import annotations

from pymmio.pci.address import PciAddress
from pymmio.pci.bars import Bar, decode_bars
from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts
from pymmio.regs import RO, RW, Field, Register

__all__ = ["SrIov", "SrIovCapability", "SrIovControl"]

# Offsets of plain numbers: PCI Express 5.0 §9.3.3.5 to §9.3.3.13.
_INITIAL_VFS = 0x0C
_TOTAL_VFS = 0x0E
_NUM_VFS = 0x10
_DEPENDENCY_LINK = 0x12
_FIRST_OFFSET = 0x14
_STRIDE = 0x16
_DEVICE_ID = 0x1A
_SUPPORTED_PAGE_SIZES = 0x1C
_SYSTEM_PAGE_SIZE = 0x20
_BAR0 = 0x24  # §9.3.3.14
_BAR_COUNT = 6

_SMALLEST_PAGE = 4096  # bit n of both page size registers means 4096 << n
_ROUTING_IDS = 1 << 16


class SrIovCapability(Register, offset=0x04, width=32, access=RO):
    """SR-IOV Capabilities (PCI Express 5.0 §9.3.3.2)."""

    migration_capable = Field(bit=0)
    ari_preserved = Field(bit=1)
    tag_10bit = Field(bit=2)
    migration_message = Field(bits=(21, 31))


class SrIovControl(Register, offset=0x08, width=16, access=RW):
    """SR-IOV Control (PCI Express 5.0 §9.3.3.3)."""

    vf_enable = Field(bit=0)
    migration_enable = Field(bit=1)
    migration_interrupt = Field(bit=2)
    vf_memory_enable = Field(bit=3)
    ari_hierarchy = Field(bit=4)
    tag_10bit = Field(bit=5)


class SrIov(ExtendedCapability):
    """Single root I/O virtualisation, extended capability 0010h (PCI Express 5.0 §9.3.3).

    Virtual functions are the kernel's to make (``sriov_numvfs`` in sysfs): this only tells.
    """

    __slots__ = ()

    @property
    def capability(self) -> SrIovCapability:
        return self._read(SrIovCapability)

    @property
    def control(self) -> SrIovControl:
        return self._read(SrIovControl)

    @property
    def is_enabled(self) -> bool:
        """Whether the virtual functions exist."""
        return bool(self.control.vf_enable)

    @property
    def total_vfs(self) -> int:
        """How many virtual functions there can be."""
        return self._read_number(_TOTAL_VFS, 2)

    @property
    def initial_vfs(self) -> int:
        """How many there are at first.  Raises ProtocolError where that is above the total."""
        return self._at_most_total("InitialVFs", self._read_number(_INITIAL_VFS, 2))

    @property
    def num_vfs(self) -> int:
        """How many are asked for now.  Raises ProtocolError likewise."""
        return self._at_most_total("NumVFs", self._read_number(_NUM_VFS, 2))

    @property
    def dependency_link(self) -> int:
        """The function whose virtual functions depend on this one's, or its own number."""
        return self._read_number(_DEPENDENCY_LINK, 1)

    @property
    def first_offset(self) -> int:
        """Distance of the first virtual function's routing id; depends on ``num_vfs``."""
        return self._read_number(_FIRST_OFFSET, 2)

    @property
    def stride(self) -> int:
        """Distance between virtual functions; depends on ``num_vfs``."""
        return self._read_number(_STRIDE, 2)

    @property
    def vf_device_id(self) -> int:
        return self._read_number(_DEVICE_ID, 2)

    @property
    def supported_page_sizes(self) -> tuple[int, ...]:
        """Bytes."""
        bits = self._read_number(_SUPPORTED_PAGE_SIZES, 4)
        return tuple(_SMALLEST_PAGE << bit for bit in range(32) if bits & 1 << bit)

    @property
    def system_page_size(self) -> int:
        """Bytes to which BARs are aligned.  Raises ProtocolError unless it is exactly one."""
        bits = self._read_number(_SYSTEM_PAGE_SIZE, 4)
        if bits.bit_count() != 1:
            raise self._refused(f"System Page Size reads {bits:#x}, one bit must be set")
        return _SMALLEST_PAGE * bits

    def vf_bars(self) -> tuple[Bar, ...]:
        """Decode the BARs of the first virtual function; the others' follow in memory.

        Raises ProtocolError as ``decode_bars`` does.
        """
        return decode_bars([self._read_number(_BAR0 + 4 * i, 4) for i in range(_BAR_COUNT)])

    def vf_address(self, physical: PciAddress, number: int) -> PciAddress:
        """Return where virtual function ``number`` (from 0) of ``physical`` is (§9.2.1.2).

        Raises ProtocolError where that lies beyond the last bus.
        """
        own = physical.bus << 8 | physical.device << 3 | physical.function
        routing_id = own + self.first_offset + number * self.stride
        if not 0 <= routing_id < _ROUTING_IDS:
            raise self._refused(f"virtual function {number} would have routing id {routing_id:#x}")
        return PciAddress(
            physical.domain, routing_id >> 8, routing_id >> 3 & 0x1F, routing_id & 0b111
        )

    def facts(self) -> Facts:
        return {
            "enabled": self.is_enabled,
            "initial_vfs": self.initial_vfs,
            "total_vfs": self.total_vfs,
            "num_vfs": self.num_vfs,
            "first_offset": self.first_offset,
            "stride": self.stride,
            "vf_device_id": self.vf_device_id,
            "vf_memory_enabled": bool(self.control.vf_memory_enable),
            "ari_hierarchy": bool(self.control.ari_hierarchy),
            "supported_page_sizes": list(self.supported_page_sizes),
            "system_page_size": self.system_page_size,
            "vf_bars": [str(bar) for bar in self.vf_bars()],
        }

    def _at_most_total(self, what: str, number: int) -> int:
        total = self.total_vfs
        if number > total:
            raise self._refused(f"{what} reads {number}, which is above TotalVFs, {total}")
        return number
