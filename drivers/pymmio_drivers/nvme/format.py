"""Format NVM: give a namespace another LBA format, or erase it (NVMe Base 2.0 §5.14)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymmio.errors import BadArgument, Unsupported
from pymmio_drivers.nvme import command
from pymmio_drivers.nvme.errors import StatusError
from pymmio_drivers.nvme.structures import IDENTIFY_SIZE, IdentifyNamespace

if TYPE_CHECKING:
    from pymmio_drivers.nvme.admin import Admin
    from pymmio_drivers.nvme.controller import Controller

__all__ = [
    "Erase",
    "FormatChoice",
    "FormatScope",
    "format_choices",
    "format_namespace",
    "format_scope",
]

_LOOK_S = 0.25
_FPI_SUPPORTED = 0x80
_FPI_LEFT = 0x7F
_LBADS_MIN = 9  # 512 bytes, NVM Command Set 1.0 §4.1.5.1; 0: the format is not there


class Erase(enum.IntEnum):
    """Secure Erase Settings (NVMe Base 2.0 §5.14, CDW10 bits 11:9)."""

    NONE = 0
    USER_DATA = 1
    CRYPTOGRAPHIC = 2


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """One LBA format that a namespace offers; sizes in bytes, performance 0 is best."""

    index: int
    block_size: int
    metadata_size: int
    performance: int
    is_in_use: bool

    def as_dict(self) -> dict[str, object]:
        """Return everything by name, ready for JSON."""
        return {
            "index": self.index,
            "block_size": self.block_size,
            "metadata_size": self.metadata_size,
            "performance": self.performance,
            "is_in_use": self.is_in_use,
        }


class FormatScope(enum.StrEnum):
    """What one Format NVM command changes (Identify Controller, FNA)."""

    NAMESPACE = "namespace"
    CONTROLLER = "all namespaces of the controller"


def format_choices(identity: IdentifyNamespace) -> tuple[FormatChoice, ...]:
    """Return the LBA formats that a namespace offers, by their index."""
    count = min(int(identity.nlbaf) + 1, len(identity.lbaf))
    return tuple(
        FormatChoice(
            index,
            1 << int(identity.lbaf[index].lbads),
            int(identity.lbaf[index].ms),
            int(identity.lbaf[index].rp),
            index == identity.format_index,
        )
        for index in range(count)
        if identity.lbaf[index].lbads >= _LBADS_MIN
    )


def format_scope(controller: Controller, erase: Erase) -> FormatScope:
    """Return what a format of one namespace would change."""
    fna = int(controller.identity.fna)
    is_whole = fna & 1 or (erase is not Erase.NONE and fna & 2)
    return FormatScope.CONTROLLER if is_whole else FormatScope.NAMESPACE


def format_namespace(
    controller: Controller,
    nsid: int,
    *,
    lba_format: int | None = None,
    erase: Erase | int = Erase.NONE,
    timeout_s: float = 3600.0,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Format a namespace: all its data is lost.

    ``lba_format`` is the index of the format to change to (as it is), without protection
    information, metadata apart.  Where FNA says so all namespaces are formatted, see
    :func:`format_scope`.  ``progress`` is called with the share that is done, if the
    controller tells.  The controller's list of namespaces is read again afterwards.

    Raises Unsupported, BadArgument before anything is sent; StatusError, CommandTimeout
    (the controller is then reset, and what the namespace holds is not defined).
    """
    admin = controller.admin
    if not controller.identity.oacs_format:
        raise Unsupported(
            f"{controller.name} does not support Format NVM (Identify Controller, OACS)",
            hint="Write zeroes, or deallocate the blocks",
        )
    identity = admin.identify_namespace(nsid)
    choices = {one.index: one for one in format_choices(identity)}
    index = identity.format_index if lba_format is None else lba_format
    if index not in choices:
        offered = ", ".join(f"{i} ({one.block_size} bytes)" for i, one in choices.items())
        raise BadArgument(
            f"nsid {nsid} of {controller.name} has no LBA format {index}",
            hint=f"It offers {offered or 'none'}",
        )
    kind = _known_erase(controller, erase)
    entry = command.format_nvm(nsid, lba_format=index, erase=kind)
    request = admin.start(entry, f"format of nsid {nsid}", timeout_s=timeout_s)
    if progress is not None and identity.fpi & _FPI_SUPPORTED:
        while not request.done():
            progress(_share_done(admin, nsid, timeout_s))
            with suppress(TimeoutError):
                request.exception(_LOOK_S)
    request.result()
    if progress is not None:
        progress(1.0)
    controller.refresh()


def _share_done(admin: Admin, nsid: int, timeout_s: float) -> float:
    """Ask how far it is; a controller may answer late, or refuse all else meanwhile."""
    entry = command.identify(command.Cns.NAMESPACE, nsid=nsid)
    try:
        data = admin.send(entry, "format progress", receive=IDENTIFY_SIZE, timeout_s=timeout_s).data
    except StatusError:
        return 0.0
    left = int(IdentifyNamespace.parse(data).fpi) & _FPI_LEFT
    return 1.0 - left / 100 if left else 0.0


def _known_erase(controller: Controller, erase: Erase | int) -> Erase:
    try:
        kind = Erase(erase)
    except ValueError:
        raise BadArgument(
            f"format: erase={erase!r}", hint=f"Give one of {', '.join(map(str, Erase))}"
        ) from None
    if kind is Erase.CRYPTOGRAPHIC and not controller.identity.fna & 4:
        raise Unsupported(
            f"{controller.name} has no cryptographic erase (Identify Controller, FNA)",
            hint="Erase user data instead",
        )
    return kind
