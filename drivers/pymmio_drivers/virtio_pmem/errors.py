"""What goes wrong with persistent memory."""

from __future__ import annotations

import errno

from pymmio.errors import PymmioError

__all__ = ["FlushError"]


class FlushError(PymmioError, OSError):
    """The host could not make the memory durable (EIO); ``ret`` is what the device answered.

    What was written since the last flush that succeeded may or may not be there after a power
    cut.
    """

    def __init__(self, message: str, *, ret: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.errno = errno.EIO
        self.ret = ret
