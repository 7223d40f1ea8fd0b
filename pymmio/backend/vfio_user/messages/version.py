"""The first message of a connection: version and capabilities (vfio-user 0.1, "Version")."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Self

from pymmio.backend.vfio_user.messages.wire import U64_MAX, layout, take
from pymmio.errors import ProtocolError

__all__ = [
    "DEFAULT_DATA_XFER_SIZE",
    "MAJOR",
    "MAX_MINOR",
    "MAX_VERSION_SIZE",
    "Capabilities",
    "TwinSocket",
    "Version",
]

MAJOR = 0
MAX_MINOR = 1
DEFAULT_DATA_XFER_SIZE = 1 << 20
MAX_VERSION_SIZE = 16 << 10
"""How long version and JSON may be in bytes; programs in use send some hundred."""
_MAX_DEPTH = 16
_FORM = layout("HH")


@dataclass(frozen=True, slots=True)
class TwinSocket:
    """A second socket for what the server asks of the client.

    ``fd_index`` is its place among the descriptors of the reply, None in a proposal.
    """

    supported: bool = False
    fd_index: int | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the sender can do; what it leaves out has the value that is the default here.

    ``max_msg_fds`` descriptors it can *receive* in a message, ``max_data_xfer_size`` bytes a
    data message may hold, ``pgsizes`` is the page sizes of DMA maps or'ed together.
    ``migration_pgsize`` is None where there is no migration.
    """

    max_msg_fds: int = 1
    max_data_xfer_size: int = DEFAULT_DATA_XFER_SIZE
    max_dma_maps: int = 65535
    pgsizes: int = 4096
    twin_socket: TwinSocket = field(default_factory=TwinSocket)
    write_multiple: bool = False
    migration_pgsize: int | None = None

    def pack(self) -> bytes:
        """Return the JSON with its final NUL."""
        said: dict[str, object] = {
            "max_msg_fds": self.max_msg_fds,
            "max_data_xfer_size": self.max_data_xfer_size,
            "max_dma_maps": self.max_dma_maps,
            "pgsizes": self.pgsizes,
            "write_multiple": self.write_multiple,
        }
        if self.twin_socket.supported:
            twin: dict[str, object] = {"supported": True}
            if self.twin_socket.fd_index is not None:
                twin["fd_index"] = self.twin_socket.fd_index
            said["twin_socket"] = twin
        if self.migration_pgsize is not None:
            said["migration"] = {"pgsize": self.migration_pgsize}
        return json.dumps({"capabilities": said}).encode() + b"\0"

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the JSON, with or without a final NUL; nothing at all is all defaults.

        Raises ProtocolError for what is no JSON, and for values that make no sense; names
        that are not known are passed over.
        """
        text = data[:-1] if data.endswith(b"\0") else data
        said = _members(_decode(text) if text else {}, "capabilities")
        twin = _members(said, "twin_socket")
        migration = _members(said, "migration")
        supported = _boolean(twin, "supported")
        return cls(
            max_msg_fds=_number(said, "max_msg_fds", 1),
            max_data_xfer_size=_number(said, "max_data_xfer_size", DEFAULT_DATA_XFER_SIZE, 1),
            max_dma_maps=_number(said, "max_dma_maps", 65535),
            pgsizes=_number(said, "pgsizes", 4096, 1),
            twin_socket=TwinSocket(
                supported,
                _number(twin, "fd_index", 0) if supported and "fd_index" in twin else None,
            ),
            write_multiple=_boolean(said, "write_multiple"),
            migration_pgsize=_number(migration, "pgsize", 4096, 1) if migration else None,
        )


@dataclass(frozen=True, slots=True)
class Version:
    """A proposal, and the answer to one: version of the protocol, and capabilities."""

    major: int
    minor: int
    capabilities: Capabilities = field(default_factory=Capabilities)

    def pack(self) -> bytes:
        return _FORM.pack(self.major, self.minor) + self.capabilities.pack()

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Parse either side's message; whether the version fits is for the caller to say."""
        major, minor = take(_FORM, payload, "VERSION")
        if len(payload) > MAX_VERSION_SIZE:
            raise ProtocolError(f"VERSION has {len(payload)} bytes of capabilities")
        return cls(major, minor, Capabilities.parse(payload[_FORM.size :]))


def _decode(text: bytes) -> dict[str, object]:
    depth = most = 0
    for byte in text:  # brackets in strings count too: nothing that is sent comes near the limit
        depth += (byte in b"[{") - (byte in b"]}")
        most = max(most, depth)
    if most > _MAX_DEPTH:
        raise ProtocolError("the capabilities are JSON nested too deeply")
    try:
        found = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the capabilities are no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ProtocolError(f"the capabilities are a JSON {type(found).__name__}, not an object")
    return found


def _members(of: dict[str, object], name: str) -> dict[str, object]:
    value = of.get(name, {})
    if not isinstance(value, dict):
        raise ProtocolError(f"capability {name!r} is a JSON {type(value).__name__}, not an object")
    return value


def _number(of: dict[str, object], name: str, otherwise: int, least: int = 0) -> int:
    value = of.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= U64_MAX:
        raise ProtocolError(f"capability {name!r} is {str(value)[:40]}: not a number that fits")
    return value


def _boolean(of: dict[str, object], name: str) -> bool:
    value = of.get(name, False)
    if not isinstance(value, bool):
        raise ProtocolError(f"capability {name!r} is {str(value)[:40]}, neither true nor false")
    return value
