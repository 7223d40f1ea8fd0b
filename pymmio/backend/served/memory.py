"""Memory behind a BAR, in a file that whoever accesses the device may map."""

from __future__ import annotations

import fcntl
import mmap
import os

__all__ = ["BarMemory"]

# fcntl has names for them since Python 3.8, but only where its C library had (memfd_create(2)).
_F_ADD_SEALS = getattr(fcntl, "F_ADD_SEALS", 1033)
_SIZE_STAYS = 0x0001 | 0x0002 | 0x0004  # F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW


class BarMemory:
    """``size`` bytes of a memfd, zero at first, mapped here; ``fd`` may be handed on.

    With ``of`` it is memory that the model has already: its descriptor is duplicated.

    ``sealed`` keeps whoever gets the descriptor from changing the size: else a mapping could
    be cut off, and this process would get a SIGBUS.
    """

    def __init__(self, name: str, size: int, *, sealed: bool, of: int | None = None) -> None:
        self.size = size
        if of is None:
            self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        else:
            self.fd = os.dup(of)
        try:
            if of is None:
                os.ftruncate(self.fd, size)
            if sealed and of is None:
                fcntl.fcntl(self.fd, _F_ADD_SEALS, _SIZE_STAYS)
            self.map = mmap.mmap(self.fd, size)
        except BaseException:
            os.close(self.fd)
            raise

    def close(self) -> None:
        """Unmap and close; once."""
        self.map.close()
        os.close(self.fd)
