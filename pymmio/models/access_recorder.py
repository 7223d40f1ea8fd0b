"""A device that writes down every access that reaches it.

BAR0 is reached by messages only: each of its accesses is one entry of the log.  BAR2 is plain
memory, which may be mapped: nobody sees single accesses there.  BAR4 is the window through which
a driver on any side reads the log; its own accesses are not logged.

========  =====  ======  =============================================================
BAR4      bits   access  meaning
========  =====  ======  =============================================================
0x00      32     RO      0x52434552, the letters ``RECR``
0x04      32     RO      number of entries
0x08      32     RO      accesses that were lost because the log was full
0x0C      32     WO      1 empties the log, 2 gives BAR0 and BAR2 their first content back
0x10      32     RW      the entry that the registers below show
0x14      32     RO      its number since power-on, from 0
0x18      64     RO      its offset in BAR0
0x20      64     RO      its value
0x28      32     RO      bits 7:0 its width in bytes, bit 8 set for a write
========  =====  ======  =============================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TextIO

from pymmio.backend.model import BarSpec, DeviceModel, ModelHost
from pymmio.errors import UriError
from pymmio.models.options import as_int, as_size, refuse_unknown

__all__ = ["AccessRecorderModel", "LoggedAccess"]

_RECORDED, _MEMORY, _WINDOW = 0, 2, 4
_IDENTIFICATION = 0x52434552
_WINDOW_SIZE = 4096
_TABLE = 0x800  # in BAR4
_MOST_VECTORS = 64
_CONTROL, _SELECT = 0x0C, 0x10
_CLEAR, _RESTORE = 1, 2
_WRITE = 1 << 8


@dataclass(frozen=True, slots=True)
class LoggedAccess:
    """One access of BAR0: the value is the number that its bytes are, low byte first."""

    number: int
    offset: int
    width: int
    is_write: bool
    value: int


class AccessRecorderModel(DeviceModel):
    """The recorder; ``log`` is what BAR4 shows, for tests in the same process.

    ``size`` is that of BAR0 and of BAR2, ``limit`` how many accesses are kept.  BAR0 reads as
    what was written there; at first the byte at offset n is ``(n * 151 + n // 256 + 29) % 256``,
    so that neighbours differ.

    ``file`` gets each access as a line of JSON at once, those too that the log has no room for:
    ``{"number": 0, "offset": 4, "width": 4, "is_write": true, "value": 7}``.  It is made anew,
    and goes on through resets.

    ``msix`` vectors, at most 64, have their table in BAR4 and never fire: zPCI takes no function
    without.
    """

    vendor_id = 0x1234
    device_id = 0x5243
    subsystem_vendor_id = 0x1AF4
    subsystem_id = 0x1100
    revision_id = 0x01
    class_code = 0xFF0000  # fits no class (PCI Code and ID Assignment 1.11 §1.1)

    def __init__(
        self,
        *,
        size: str | int = 1 << 16,
        limit: str | int = 1 << 16,
        file: str | None = None,
        msix: str | int = 0,
        **unknown: str,
    ) -> None:
        refuse_unknown("access-recorder", unknown, ("file", "limit", "msix", "size"))
        self.size = as_size("size", size)
        if self.size < 4096 or self.size & (self.size - 1):
            raise UriError(f"option size={size} is no power of two from 4K on", hint="Size=64K")
        self.limit = as_int("limit", limit, low=1)
        self.msix_vectors = as_int("msix", msix, low=0, high=_MOST_VECTORS)
        if self.msix_vectors:
            self.msix_bar, self.msix_offset = _WINDOW, _TABLE
        self.bars = (
            BarSpec(index=_RECORDED, size=self.size),
            BarSpec(index=_MEMORY, size=self.size, prefetchable=True, ram=True),
            BarSpec(index=_WINDOW, size=_WINDOW_SIZE),
        )
        self.content = bytearray(self._first_content())
        self.log: list[LoggedAccess] = []
        self.lost = 0
        self._next = 0
        self._selected = 0
        self._file = _open(file) if file is not None else None

    def attach(self, host: ModelHost) -> None:
        """Fill the memory of BAR2, too."""
        super().attach(host)
        self._restore()

    def reset(self) -> None:
        """Forget the log, give both BARs their first content back."""
        self._next = self._selected = 0
        self.clear()
        self._restore()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def clear(self) -> None:
        """Empty the log; numbers go on."""
        self.log.clear()
        self.lost = 0

    def _first_content(self) -> bytes:
        return bytes((n * 151 + n // 256 + 29) % 256 for n in range(self.size))

    def _restore(self) -> None:
        self.content[:] = self._first_content()
        self.host.bar_memory(_MEMORY)[:] = self.content

    def describe(self) -> Mapping[str, str]:
        return {"recorded": f"{self.size} bytes in BAR0", "entries": f"{len(self.log)}"}

    # --- accesses ----------------------------------------------------------------------

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        if bar == _RECORDED:
            value = int.from_bytes(self.content[offset : offset + width], "little")
            self._log(offset, width, False, value)
            return value
        window = self._window()
        return int.from_bytes(window[offset : offset + width].ljust(width, b"\0"), "little")

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        if bar == _RECORDED:
            self.content[offset : offset + width] = value.to_bytes(width, "little")
            self._log(offset, width, True, value)
        elif (offset, width) == (_SELECT, 4):
            self._selected = value
        elif (offset, width) == (_CONTROL, 4):
            if value & _CLEAR:
                self.clear()
            if value & _RESTORE:
                self._restore()

    def _log(self, offset: int, width: int, is_write: bool, value: int) -> None:
        access = LoggedAccess(self._next, offset, width, is_write, value)
        if len(self.log) < self.limit:
            self.log.append(access)
        else:
            self.lost += 1
        if self._file is not None:
            self._file.write(json.dumps(asdict(access)) + "\n")
        self._next += 1

    def _window(self) -> bytes:
        """Return BAR4 as it reads now; an entry that is not there is zero."""
        entry = LoggedAccess(0, 0, 0, False, 0)
        if self._selected < len(self.log):
            entry = self.log[self._selected]
        kind = entry.width | (_WRITE if entry.is_write else 0)
        fields = (
            (_IDENTIFICATION, 4),
            (len(self.log), 4),
            (min(self.lost, 0xFFFF_FFFF), 4),
            (0, 4),
            (self._selected, 4),
            (entry.number & 0xFFFF_FFFF, 4),
            (entry.offset, 8),
            (entry.value, 8),
            (kind, 4),
        )
        return b"".join(value.to_bytes(width, "little") for value, width in fields)


def _open(path: str) -> TextIO:
    try:
        return open(path, "w", encoding="ascii", buffering=1)  # each line goes out at once
    except OSError as error:
        raise UriError(
            f"file {path!r} cannot be written: {error.strerror}", hint="Name another place"
        ) from error
