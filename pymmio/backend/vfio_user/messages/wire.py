"""How numbers lie on the wire, and the checks that every message needs.

All numbers are in the byte order of the host (vfio-user 0.1, "Protocol Specification"): both
ends run on it.  The data of an access are bytes of the device, which have no order here.
"""

from __future__ import annotations

import struct
import sys

from pymmio.errors import ProtocolError

__all__ = [
    "HOST_ORDER",
    "U32_MAX",
    "U64_MAX",
    "check_range",
    "check_size",
    "layout",
    "take",
]

HOST_ORDER = "<" if sys.byteorder == "little" else ">"
U32_MAX = (1 << 32) - 1
U64_MAX = (1 << 64) - 1


def layout(members: str) -> struct.Struct:
    """Return the structure of ``members`` (as in :mod:`struct`), without padding."""
    return struct.Struct(HOST_ORDER + members)


def take(form: struct.Struct, payload: bytes, what: str) -> tuple[int, ...]:
    """Unpack ``form`` from the beginning of ``payload``, which may be longer."""
    if len(payload) < form.size:
        raise ProtocolError(f"{what} has {len(payload)} bytes, at least {form.size} are needed")
    return form.unpack_from(payload)


def check_size(payload: bytes, size: int, what: str) -> None:
    """Raise ProtocolError unless the payload has exactly ``size`` bytes."""
    if len(payload) != size:
        raise ProtocolError(f"{what} has {len(payload)} bytes instead of {size}")


def check_range(first: int, size: int, end: int, what: str) -> None:
    """Raise ProtocolError unless ``size`` bytes from ``first`` end at ``end`` or before."""
    if first > end or size > end - first:
        raise ProtocolError(f"{what}: {size:#x} bytes at {first:#x} go beyond {end:#x}")
