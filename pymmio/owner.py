"""Owners: what is given back by ``close``, at the latest where a ``with`` block ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from pymmio.errors import PymmioError

__all__ = ["Owner"]


class Owner:
    """A base for classes that have a ``close``: their objects end with a ``with`` block.

    Where an error ended the block, and closing fails too, the caller is told the first: what
    closing raised becomes a note of it.  It is raised as ever where it is the root cause, or
    where nobody would read the note: alone, and after what is no Exception and often swallowed,
    such as CancelledError.
    """

    __slots__ = ()

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except (PymmioError, OSError, BufferError) as later:
            is_root_cause = later is error or getattr(later, "is_root_cause", False)
            if is_root_cause or not isinstance(error, Exception):
                raise
            error.add_note(f"and then, while closing: {later}")
