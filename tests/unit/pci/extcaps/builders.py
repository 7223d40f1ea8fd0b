"""Configuration spaces with one extended capability of given content."""

from __future__ import annotations

from pymmio.pci import ConfigSpace
from pymmio.pci.extcaps import ExtendedCapability

from ..fakes import FakeConfig
from ..spaces import nvme


def space_with(capability_id: int, body: str, *, at: int = 0x100, version: int = 1) -> FakeConfig:
    """Put a capability there; ``body`` is what stands behind its header."""
    fake = nvme()
    if at != 0x100:
        fake.put(0x100, 4, at << 20)  # a null capability that leads there
    fake.put(at, 4, version << 16 | capability_id)
    data = bytes.fromhex(body)
    fake.content[at + 4 : at + 4 + len(data)] = data
    assert fake.size == 4096
    return fake


def only(fake: FakeConfig) -> ExtendedCapability:
    """Return the last capability of the list."""
    return ConfigSpace(fake).extended_capabilities()[-1]


def masks(register) -> dict[str, int]:
    """Return the bits of each field."""
    return {field.name: field.mask for field in register.spec.fields.values()}
