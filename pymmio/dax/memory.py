"""Memory that a DAX device stands on: what it says about itself, and how bytes get in and out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DaxMemory"]


class DaxMemory(Protocol):
    """A range of persistent or shared memory, however it is reached.

    Offsets and sizes are in bytes.  ``read_into`` and ``write_from`` raise OutOfBounds before
    they touch anything, MediaError where the machine reports an error of the memory.
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

    def view(self, offset: int, size: int) -> memoryview:
        """Return the bytes themselves.  Raises Unsupported, with the reason, where not."""
        ...

    def read_into(self, offset: int, target: Buffer) -> int:
        """Fill ``target`` from ``offset`` on; return how many bytes that was."""
        ...

    def write_from(self, offset: int, data: Buffer) -> int:
        """Write ``data`` at ``offset``; return how many bytes that was."""
        ...

    def zero(self, offset: int, size: int) -> None:
        """Write zeros."""
        ...

    def close(self) -> None: ...
