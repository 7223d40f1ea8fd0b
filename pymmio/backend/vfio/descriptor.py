"""A file descriptor that knows whether it is still ours."""

from __future__ import annotations

from pymmio.backend.vfio.kernel import Kernel
from pymmio.errors import Closed, ForkedObject

__all__ = ["Descriptor"]


class Descriptor:
    """Owns a file descriptor: closed once, refused after close and in forked children."""

    def __init__(self, kernel: Kernel, fd: int, name: str) -> None:
        self._kernel = kernel
        self._fd = fd
        self._name = name
        self._closed = False
        self._forked = False

    @property
    def fd(self) -> int:
        """The number.  Raises Closed or ForkedObject."""
        if self._forked:
            raise ForkedObject(
                f"{self._name} belongs to the parent process",
                hint="Open the device again after fork, once the parent has closed it",
            )
        if self._closed:
            raise Closed(f"{self._name} is closed", hint="Open the device again")
        return self._fd

    @property
    def is_ours(self) -> bool:
        """Whether it is open and was opened by this process."""
        return not self._closed and not self._forked

    def close(self) -> None:
        """Close the descriptor; nothing happens the second time or in a forked child."""
        if self._closed or self._forked:
            return
        self._closed = True
        self._kernel.close(self._fd)

    def after_fork(self) -> None:
        """Let go of the parent's file in a child: the parent keeps it, the child refuses.

        A child that kept it would hold the device for as long as it lives.
        """
        if self._closed or self._forked:
            return
        self._forked = True
        self._kernel.replace_by_nothing(self._fd)
