"""Where a PCI function sits: domain, bus, device, function."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pymmio.errors import UriError

__all__ = ["PciAddress"]

# The domain is a Linux notion: 16 bits from firmware, more for domains that the kernel
# makes up (Intel VMD counts from 0x10000).
_DOMAIN_BITS = 32
_BUS_BITS = 8  # PCI Local Bus 3.0 §3.2.2.3.2
_DEVICE_BITS = 5  # PCI Local Bus 3.0 §3.2.2.3.2
_FUNCTION_BITS = 3  # PCI Local Bus 3.0 §3.2.2.3.2

_FORM = re.compile(
    r"(?:(?P<domain>[0-9a-f]{1,8}):)?(?P<bus>[0-9a-f]{1,2}):(?P<device>[0-9a-f]{1,2})"
    r"\.(?P<function>[0-7])",
    re.IGNORECASE | re.ASCII,
)
_HINT = (
    "Write domain:bus:device.function in hexadecimal, such as 0000:01:00.0, or 01:00.0 in domain 0"
)


@dataclass(frozen=True, order=True, slots=True)
class PciAddress:
    """The address of a PCI function; ordered as ``lspci`` sorts.

    ``str()`` gives the form that Linux uses in sysfs.  Raises UriError (a ValueError)
    where a part does not fit.
    """

    domain: int
    bus: int
    device: int
    function: int

    def __post_init__(self) -> None:
        for name, bits in (
            ("domain", _DOMAIN_BITS),
            ("bus", _BUS_BITS),
            ("device", _DEVICE_BITS),
            ("function", _FUNCTION_BITS),
        ):
            part = getattr(self, name)
            if not 0 <= part < 1 << bits:
                raise UriError(
                    f"PCI address: {name} {part:#x} does not fit {bits} bits", hint=_HINT
                )

    @classmethod
    def parse(cls, text: str) -> PciAddress:
        """Read ``0000:01:00.0``, ``01:00.0`` or a wider domain such as ``10000:01:00.0``.

        Raises UriError with the expected form for everything else.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise UriError(f"not a PCI address: {text!r}", hint=_HINT)
        return cls(
            domain=int(match["domain"] or "0", 16),
            bus=int(match["bus"], 16),
            device=int(match["device"], 16),
            function=int(match["function"], 16),
        )

    def __str__(self) -> str:
        return f"{self.domain:04x}:{self.bus:02x}:{self.device:02x}.{self.function:x}"
