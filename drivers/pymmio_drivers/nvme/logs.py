"""Log pages about the controller's abilities, and how long each page is (NVMe Base 2.0 §5.16)."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymmio_drivers.nvme.command import AdminOpcode, IoOpcode, LogId
from pymmio_drivers.nvme.structures import ErrorLogEntry, IdentifyController

if TYPE_CHECKING:
    from pymmio_drivers.nvme.admin import Admin

__all__ = ["CommandEffect", "Effect", "command_effects", "log_size", "supported_logs"]

_SIZES = {
    LogId.SUPPORTED_LOGS: 1024,
    LogId.SMART: 512,
    LogId.FIRMWARE_SLOT: 512,
    LogId.CHANGED_NAMESPACES: 4096,
    LogId.COMMANDS_SUPPORTED: 4096,
}
_SHORTEST = 512  # what is asked of a page whose size is not known
_OPCODES = 256


class Effect(enum.IntFlag):
    """What a command changes: Commands Supported and Effects data structure (§5.16.1.6)."""

    SUPPORTED = 1 << 0
    LOGICAL_BLOCKS = 1 << 1
    NAMESPACE_CAPABILITIES = 1 << 2
    NAMESPACE_INVENTORY = 1 << 3
    CONTROLLER_CAPABILITIES = 1 << 4


@dataclass(frozen=True, slots=True)
class CommandEffect:
    """A command that the controller supports, and what it may change."""

    opcode: int
    is_io: bool
    effects: Effect

    @property
    def name(self) -> str:
        """The specification's name in lower case, or the number."""
        try:
            kind = IoOpcode(self.opcode) if self.is_io else AdminOpcode(self.opcode)
        except ValueError:
            return f"opcode {self.opcode:#04x}"
        return kind.name.lower().replace("_", " ")

    @property
    def changes(self) -> tuple[str, ...]:
        """What it may change, in words."""
        found = [one for one in Effect if one in self.effects and one is not Effect.SUPPORTED]
        return tuple((one.name or "").lower().replace("_", " ") for one in found)

    def as_dict(self) -> dict[str, object]:
        """Return everything by name, ready for JSON."""
        queue = "io" if self.is_io else "admin"
        changes = list(self.changes)
        return {"opcode": self.opcode, "queue": queue, "name": self.name, "changes": changes}


def log_size(identity: IdentifyController, lid: int) -> int:
    """Return the bytes of a log page; 512 for one that the driver does not know."""
    if lid == LogId.ERROR_INFORMATION:
        return (int(identity.elpe) + 1) * ErrorLogEntry.spec.size
    return {int(known): size for known, size in _SIZES.items()}.get(lid, _SHORTEST)


def command_effects(admin: Admin) -> tuple[CommandEffect, ...]:
    """Return the commands that the controller supports, admin commands first.

    Raises StatusError where it has no such page (LPA bit 1).
    """
    data = admin.get_log_page(LogId.COMMANDS_SUPPORTED, _SIZES[LogId.COMMANDS_SUPPORTED])
    words = [word for (word,) in struct.iter_unpack("<I", data[: 8 * _OPCODES])]
    return tuple(
        CommandEffect(index % _OPCODES, index >= _OPCODES, Effect(word & 0x1F))
        for index, word in enumerate(words)
        if word & Effect.SUPPORTED
    )


def supported_logs(admin: Admin) -> tuple[int, ...]:
    """Return the ids of the log pages that there are.

    Raises StatusError where the controller does not tell (before NVMe 2.0).
    """
    data = admin.get_log_page(LogId.SUPPORTED_LOGS, _SIZES[LogId.SUPPORTED_LOGS])
    words = struct.iter_unpack("<I", data)
    return tuple(lid for lid, (word,) in enumerate(words) if word & 1)
