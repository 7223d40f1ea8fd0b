"""Access control services: whether packets between functions go past the IOMMU."""

from __future__ import annotations

from pymmio.pci.extcaps.base import ExtendedCapability
from pymmio.pci.view import Facts, set_fields
from pymmio.regs import RO, RW, Field, Register

__all__ = ["Acs", "AcsCapability", "AcsControl"]

_EGRESS_VECTOR = 0x08  # PCI Express 5.0 §7.7.8.4
_VECTOR_DWORD_BITS = 32
_VECTOR_SIZE_OF_ZERO = 256  # PCI Express 5.0 §7.7.8.2: 00h stands for 256 bits

# What keeps two functions apart: Linux 6.12 drivers/pci/pci.c (REQ_ACS_FLAGS of
# drivers/iommu/iommu.c) makes IOMMU groups by these.
_ISOLATING = ("source_validation", "request_redirect", "completion_redirect", "upstream_forwarding")


class AcsCapability(Register, offset=0x04, width=16, access=RO):
    """ACS Capability (PCI Express 5.0 §7.7.8.2)."""

    source_validation = Field(bit=0)
    translation_blocking = Field(bit=1)
    request_redirect = Field(bit=2)
    completion_redirect = Field(bit=3)
    upstream_forwarding = Field(bit=4)
    egress_control = Field(bit=5)
    direct_translated = Field(bit=6)
    enhanced = Field(bit=7)
    egress_vector_size = Field(bits=(8, 15), doc="bits, 0 is 256")


class AcsControl(Register, offset=0x06, width=16, access=RW):
    """ACS Control (PCI Express 5.0 §7.7.8.3)."""

    source_validation = Field(bit=0)
    translation_blocking = Field(bit=1)
    request_redirect = Field(bit=2)
    completion_redirect = Field(bit=3)
    upstream_forwarding = Field(bit=4)
    egress_control = Field(bit=5)
    direct_translated = Field(bit=6)
    io_request_blocking = Field(bit=7)
    downstream_memory_target = Field(bits=(8, 9))
    upstream_memory_target = Field(bits=(10, 11))
    unclaimed_request_redirect = Field(bit=12)


class Acs(ExtendedCapability):
    """Access control services, extended capability 000Dh (PCI Express 5.0 §7.7.8)."""

    __slots__ = ()

    @property
    def capability(self) -> AcsCapability:
        return self._read(AcsCapability)

    @property
    def control(self) -> AcsControl:
        return self._read(AcsControl)

    @property
    def isolates(self) -> bool:
        """Whether all is enabled that keeps what is below apart (an IOMMU group of its own).

        What a function does not have, an endpoint for instance, is not asked of it.
        """
        has, on = self.capability.fields(), self.control.fields()
        return all(on[name] for name in _ISOLATING if has[name])

    @property
    def egress_vector(self) -> int | None:
        """One bit for each port that packets may not go to; None without egress control.

        Raises ProtocolError where the vector would not fit configuration space.
        """
        capability = self.capability
        if not capability.egress_control:
            return None
        bits = capability.egress_vector_size or _VECTOR_SIZE_OF_ZERO
        dwords = -(-bits // _VECTOR_DWORD_BITS)
        vector = 0
        for index in range(dwords):
            vector |= self._read_number(_EGRESS_VECTOR + 4 * index, 4) << 32 * index
        return vector & (1 << bits) - 1

    def facts(self) -> Facts:
        capability = self.capability.replace(egress_vector_size=0)
        vector = self.egress_vector
        return {
            "supported": set_fields(capability),
            "enabled": set_fields(self.control),
            "isolates": self.isolates,
            "egress_vector": None if vector is None else f"{vector:#x}",
        }
