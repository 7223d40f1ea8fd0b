"""VF tokens: the secret that the users of a physical function and its virtual ones share.

Source: Linux 6.12, include/uapi/linux/vfio.h (VFIO_DEVICE_FEATURE_PCI_VF_TOKEN) and
drivers/vfio/pci/vfio_pci_core.c.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.kernel import Kernel
from pymmio.errors import UriError

__all__ = ["VfToken", "set_token"]


@dataclass(frozen=True, slots=True)
class VfToken:
    """A UUID; kept out of ``repr``, because whoever knows it may open the functions."""

    uuid: uuid.UUID = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> VfToken:
        """Read a UUID as ``uuidgen`` prints it.  Raises UriError."""
        try:
            value = uuid.UUID(text)
        except ValueError:
            value = None
        if value is None or str(value) != text.lower():  # UUID() takes other spellings as well
            raise UriError(
                "vf_token is no UUID of the form 01234567-89ab-cdef-0123-456789abcdef",
                hint="Make one with uuidgen, and give all functions of the card the same",
            )
        return cls(value)

    @property
    def data(self) -> bytes:
        """The 16 bytes, in the order in which the UUID is written."""
        return self.uuid.bytes

    def as_option(self) -> str:
        """Return what stands behind the address in VFIO_GROUP_GET_DEVICE_FD."""
        return f"vf_token={self.uuid}"


def set_token(kernel: Kernel, device_fd: int, token: VfToken) -> None:
    """Set the token of a physical function that is open; its virtual ones need it then.

    Raises OSError: ENOTTY where it is no physical function with SR-IOV.
    """
    header = uapi.DEVICE_FEATURE_HEADER
    flags = uapi.FeatureFlags.SET | uapi.FeatureFlags.PCI_VF_TOKEN
    argument = bytearray(header.pack(header.size + len(token.data), flags) + token.data)
    kernel.ioctl(device_fd, uapi.DEVICE_FEATURE, argument)
