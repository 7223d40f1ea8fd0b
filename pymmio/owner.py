"""Owners: what is given back by ``close``, at the latest where a ``with`` block ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from pymmio.errors import PymmioError

__all__ = ["Owner", "raise_first"]


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
            failures = list(_failures(later, error))
            if not isinstance(error, Exception) or any(map(_is_root_cause, failures)):
                raise
            for failure in failures:
                error.add_note(f"and then, while closing: {failure}")
                for note in getattr(failure, "__notes__", ()):
                    error.add_note(note)


def raise_first(errors: Sequence[Exception]) -> None:
    """Raise the first of what went wrong while closing, with the others as its notes."""
    if errors:
        for other in errors[1:]:
            errors[0].add_note(f"and then: {other}")
        raise errors[0]


def _failures(last: BaseException, before: BaseException | None) -> Iterator[BaseException]:
    """Yield what went wrong while closing, ``before`` left out: the last and what led to it."""
    seen = {id(before)}
    failure: BaseException | None = last
    cause: BaseException | None = None
    while failure is not None and id(failure) not in seen:
        seen.add(id(failure))
        if failure is not cause:  # that one stands in the message already
            yield failure
        cause, failure = failure.__cause__, failure.__context__


def _is_root_cause(failure: BaseException) -> bool:
    return isinstance(failure, PymmioError) and failure.is_root_cause
