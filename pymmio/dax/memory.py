"""Memory that a DAX device stands on: what it says about itself, and how bytes get in and out."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DaxMemory", "Durability"]


class Durability(enum.StrEnum):
    """How what was written becomes durable."""

    FLUSH = "flush"  #: by a request to whoever keeps it; writing caches back is not enough
    WRITE_BACK = "write-back"  #: by writing the processor's caches back (DAX mappings)
    SYNC = "sync"  #: by the kernel, which writes its page cache (plain files)
    NONE = "none"  #: never: shared or volatile memory


class DaxMemory(Protocol):
    """A range of persistent or shared memory, however it is reached.

    Offsets and sizes are in bytes.  All methods raise OutOfBounds before they touch anything,
    and MediaError, with the range that was not copied, where the machine reports an error.
    """

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    @property
    def is_dereferenceable(self) -> bool:
        """Whether plain loads and stores reach it, so that ``view`` is possible."""
        ...

    @property
    def is_cached(self) -> bool:
        """Whether the processor's caches lie between: then it is memory, not a device."""
        ...

    @property
    def durability(self) -> Durability: ...

    def view(self, offset: int, size: int) -> memoryview:
        """Return the bytes themselves.  Raises Unsupported, with the reason, where not."""
        ...

    def read_into(self, offset: int, target: Buffer, *, machine_check_safe: bool = True) -> int:
        """Fill ``target`` from ``offset`` on; return how many bytes that was.

        ``machine_check_safe`` is as in ``write_from``.
        """
        ...

    def write_from(
        self, offset: int, data: Buffer, *, nocache: bool = False, machine_check_safe: bool = True
    ) -> int:
        """Write ``data`` at ``offset``; return how many bytes that was.

        ``nocache`` leaves nothing of it in the processor's caches.  ``machine_check_safe``
        False leaves a bad page of plain memory to the program, as a memcpy does: SIGBUS.
        """
        ...

    def zero(self, offset: int, size: int) -> None:
        """Write zeros."""
        ...

    def persist(self, offset: int, size: int) -> None:
        """Make a range durable, where this memory can do so by itself."""
        ...

    def close(self) -> None: ...
