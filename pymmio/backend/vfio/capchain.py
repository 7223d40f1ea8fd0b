"""Ask for an information structure of VFIO, and walk the capability chain behind it.

The chain is data that somebody else wrote: every offset and length is checked before it is
used, and a chain that points backwards, at itself or outside raises ProtocolError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pymmio.backend.vfio import uapi
from pymmio.backend.vfio.kernel import Kernel
from pymmio.errors import ProtocolError

__all__ = ["Capability", "ask", "capabilities", "read_pairs"]

# The kernel's largest answers (sparse areas, IOVA ranges) are some hundred bytes.
_MAX_ANSWER = 1 << 20
_ARGSZ = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Capability:
    """One capability: what stands behind its header, up to the next one or the end."""

    id: int
    version: int
    body: bytes


def ask(kernel: Kernel, fd: int, request: int, layout: struct.Struct, *fields: int) -> bytes:
    """Make an information ioctl and return the whole answer, capabilities included.

    ``fields`` are the members behind ``argsz``.  The kernel writes the size that it would
    need into ``argsz``; then it is asked again with that much room.  Raises OSError as
    the ioctl does, ProtocolError where the wanted size is absurd.
    """
    size = layout.size
    while True:
        buffer = bytearray(size)
        layout.pack_into(buffer, 0, size, *fields)
        kernel.ioctl(fd, request, buffer)
        (wanted,) = _ARGSZ.unpack_from(buffer)
        if wanted <= size:
            return bytes(buffer)
        if wanted > _MAX_ANSWER:
            raise ProtocolError(
                f"VFIO asks for {wanted} bytes to answer request {request:#x}",
                hint="Nothing sensible needs that much: look at the kernel's log",
            )
        size = wanted


def capabilities(answer: bytes, first: int, header_size: int, what: str) -> Iterator[Capability]:
    """Walk the chain in ``answer`` that begins at offset ``first`` (0: there is none).

    ``header_size`` is the size of the fixed structure, into which no offset may point, and
    ``what`` names the structure in messages.  The kernel appends one capability after the
    other, so offsets must grow; each one therefore ends at latest where the next begins.
    Raises ProtocolError for anything else.
    """
    at, floor = first, header_size
    while at != 0:
        if at < floor or at + uapi.CAP_HEADER.size > len(answer):
            raise ProtocolError(
                f"{what}: a capability is said to be at {at:#x}, outside {floor:#x} to "
                f"{len(answer):#x}",
                hint="The kernel's answer is broken; update the kernel or the VFIO driver",
            )
        cap_id, version, following = uapi.CAP_HEADER.unpack_from(answer, at)
        body = at + uapi.CAP_HEADER.size
        end = following if body <= following <= len(answer) else len(answer)
        yield Capability(cap_id, version, answer[body:end])
        at, floor = following, body


def read_pairs(capability: Capability, what: str) -> tuple[tuple[int, int], ...]:
    """Return the pairs of 64-bit numbers of a list capability (sparse areas, IOVA ranges).

    Raises ProtocolError where the list is said to be longer than what stands there.
    """
    body, header, pair = capability.body, uapi.LIST_HEADER, uapi.PAIR_OF_U64
    if len(body) < header.size:
        raise ProtocolError(f"{what}: the capability ends after {len(body)} bytes")
    count, _ = header.unpack_from(body)
    if count > (len(body) - header.size) // pair.size:
        raise ProtocolError(
            f"{what}: {count} entries are announced, {len(body)} bytes are there",
            hint="The kernel's answer is broken; update the kernel or the VFIO driver",
        )
    return tuple(pair.unpack_from(body, header.size + index * pair.size) for index in range(count))
