"""The object that drivers touch most: one region of a device, with its rule.

:class:`Region` is the face that all kinds share.  A kind says how one exact access is made
(``_load``, ``_store``); bounds, alignment, widths, splitting and byte order are decided
here, by :func:`pymmio.mmio.access.plan`, the same for every kind and architecture.
"""

from __future__ import annotations

import operator
import time
from typing import TYPE_CHECKING, Any

from pymmio.errors import (
    DeviceTimeout,
    Misaligned,
    OutOfBounds,
    PymmioError,
    Unsupported,
    WidthRefused,
)
from pymmio.handle import Access
from pymmio.mmio.access import AccessRule, Order, check_value, plan
from pymmio.owner import Owner

if TYPE_CHECKING:
    from pymmio.mmio.doorbell import Doorbell

__all__ = ["Region"]


class Region(Owner):
    """A region of ``size`` bytes.

    ``readN`` and ``writeN`` make exactly one access of N bits, or raise: OutOfBounds,
    Misaligned, WidthRefused, ValueOutOfRange, AccessFault, Closed, ForkedObject.  Values are
    numbers in the byte order of the rule.  Accesses are ordered with other accesses to the
    same device, not with memory: use the barriers of :mod:`pymmio.arch`.
    """

    name: str
    size: int
    rule: AccessRule
    access: Access

    __slots__ = ()

    if TYPE_CHECKING:  # what each kind brings

        def _load(self, offset: int, width: int) -> int:
            """Make one access; offset and width are good.  The value is in the rule's order."""

        def _store(self, offset: int, width: int, value: int) -> None:
            """Make one access; offset, width and value are good."""

        def _require_open(self) -> None:
            """Raise Closed or ForkedObject where no access is possible any more."""

        def window(
            self, offset: int, size: int, *, name: str | None = None, rule: AccessRule | None = None
        ) -> Region:
            """Return a part of the region as a region of its own, closed with the whole.

            ``offset`` must be a multiple of 8 so that alignment means the same in both.
            """

        def doorbell(self, offset: int, width: int = 4) -> Doorbell:
            """Return a doorbell of 4 or 2 bytes at ``offset`` for a queue engine in C."""

        def close(self) -> None:
            """Let go of the region; later accesses raise Closed."""

        @property
        def closed(self) -> bool:
            """Whether accesses are impossible."""

    # --- one access (MappedRegion has methods of C in their place) ------------------------

    def read8(self, offset: int, /) -> int:
        """Read 8 bits: exactly one access, or an exception."""
        return self._slow_read(offset, 1)

    def read16(self, offset: int, /) -> int:
        """Read 16 bits: exactly one access, or an exception."""
        return self._slow_read(offset, 2)

    def read32(self, offset: int, /) -> int:
        """Read 32 bits: exactly one access, or an exception."""
        return self._slow_read(offset, 4)

    def read64(self, offset: int, order: Order | None = None) -> int:
        """Read 64 bits: one access, or two of 32 bits where order= or the rule says so."""
        return self._slow_read(offset, 8, order)

    def write8(self, offset: int, value: int, /) -> None:
        """Write 8 bits: exactly one access, or an exception."""
        self._slow_write(offset, 1, value)

    def write16(self, offset: int, value: int, /) -> None:
        """Write 16 bits: exactly one access, or an exception."""
        self._slow_write(offset, 2, value)

    def write32(self, offset: int, value: int, /) -> None:
        """Write 32 bits: exactly one access, or an exception."""
        self._slow_write(offset, 4, value)

    def write64(self, offset: int, value: int, order: Order | None = None) -> None:
        """Write 64 bits: one access, or two of 32 bits where order= or the rule says so."""
        self._slow_write(offset, 8, value, order)

    # --- one access, decided by the rule -----------------------------------------------

    def _slow_read(self, offset: int, width: int, order: Order | None = None) -> int:
        self._require_open()
        offset = operator.index(offset)
        pieces = plan(self.rule, offset, width, self.size, region=self.name, order=order)
        if len(pieces) == 1:
            return self._load(offset, width)
        value = 0
        for at, piece in pieces:
            value |= self._load(at, piece) << self._shift(offset, width, at, piece)
        return value

    def _slow_write(self, offset: int, width: int, value: int, order: Order | None = None) -> None:
        self._require_open()
        offset, value = operator.index(offset), operator.index(value)
        pieces = plan(
            self.rule, offset, width, self.size, region=self.name, is_write=True, order=order
        )
        check_value(value, width, self.name, offset)
        for at, piece in pieces:
            part = value >> self._shift(offset, width, at, piece)
            self._store(at, piece, part & ((1 << 8 * piece) - 1))

    def _shift(self, offset: int, width: int, at: int, piece: int) -> int:
        low_end = at - offset if self.rule.byteorder == "little" else offset + width - at - piece
        return 8 * low_end

    def read(self, offset: int, width: int) -> int:
        """Read ``width`` (1, 2, 4, 8) bytes, as ``readN`` does."""
        return self._slow_read(offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Write ``width`` (1, 2, 4, 8) bytes, as ``writeN`` does."""
        self._slow_write(offset, width, value)

    def _explained(self, error: PymmioError) -> PymmioError:
        """Return what to raise in place of a fault or time-out; asks the device about it."""
        return error

    # --- waiting -----------------------------------------------------------------------

    def wait8(self, offset: int, *, mask: int, value: int, timeout_s: float) -> int:
        """Poll 8 bits until ``(read & mask) == value``; see :meth:`wait32`."""
        return self._wait(offset, 1, mask, value, timeout_s)

    def wait16(self, offset: int, *, mask: int, value: int, timeout_s: float) -> int:
        """Poll 16 bits until ``(read & mask) == value``; see :meth:`wait32`."""
        return self._wait(offset, 2, mask, value, timeout_s)

    def wait32(self, offset: int, *, mask: int, value: int, timeout_s: float) -> int:
        """Poll 32 bits until ``(read & mask) == value``; return the value read.

        Reads at least once.  Short waits spin, longer ones sleep up to 1 ms between reads.
        Raises DeviceTimeout (with ``last``) after ``timeout_s``, or DeviceGone where that is
        the reason; Closed when the region is closed meanwhile.  Ctrl-C works.
        """
        return self._wait(offset, 4, mask, value, timeout_s)

    def wait64(self, offset: int, *, mask: int, value: int, timeout_s: float) -> int:
        """Poll 64 bits until ``(read & mask) == value``; see :meth:`wait32`."""
        return self._wait(offset, 8, mask, value, timeout_s)

    def _wait(self, offset: int, width: int, mask: int, value: int, timeout_s: float) -> int:
        if value & ~mask:
            raise ValueError(f"the value {value:#x} has bits outside the mask {mask:#x}")
        deadline = time.monotonic() + timeout_s
        pause = 0.0
        while True:
            now = time.monotonic()
            last = self._slow_read(offset, width)
            if last & mask == value:
                return last
            if now >= deadline:
                raise self._timed_out(offset, width, mask, value, last, timeout_s)
            time.sleep(min(pause, deadline - now))
            pause = min(pause * 2 + 1e-6, 1e-3)

    def _timed_out(
        self, offset: int, width: int, mask: int, value: int, last: int, timeout_s: float
    ) -> PymmioError:
        return self._explained(
            DeviceTimeout(
                f"{self.name}: {8 * width} bits at {offset:#x} did not become {value:#x} "
                f"(mask {mask:#x}) within {timeout_s:g} s; last value {last:#x}",
                last=last,
            )
        )

    # --- copies ------------------------------------------------------------------------

    def read_block(self, offset: int, size: int, *, width: int) -> bytes:
        """Read ``size`` bytes in accesses of ``width`` bytes, low address first.

        ``offset`` and ``size`` are multiples of ``width``.  The bytes are in the order of
        the device's memory, whatever the rule's byte order.
        """
        self._check_block(offset, size, width, is_write=False)
        return b"".join(
            self._load(at, width).to_bytes(width, self.rule.byteorder)
            for at in range(offset, offset + size, width)
        )

    def write_block(self, offset: int, data: Any, *, width: int) -> None:
        """Write the bytes of ``data`` in accesses of ``width`` bytes, low address first."""
        view = memoryview(data).cast("B")
        self._check_block(offset, len(view), width, is_write=True)
        for at in range(0, len(view), width):
            value = int.from_bytes(view[at : at + width], self.rule.byteorder)
            self._store(offset + at, width, value)

    def write_combined(self, offset: int, data: Any) -> None:
        """Write ``data`` fast, where the device lets stores be combined on their way.

        ``offset`` and length are multiples of 8, and the rule lets 8 bytes through.  Unlike
        :meth:`write_block`, this asks for no width: the device may see any of these bytes in
        wider accesses (up to 128 bytes) than 8, low addresses first, each byte once.  They are
        ahead of every later access to the device.  For memory of a device (a controller memory
        buffer, a frame buffer), not for registers.
        """
        self.write_block(offset, data, width=8)

    def _check_block(self, offset: int, size: int, width: int, *, is_write: bool) -> None:
        self._require_open()
        what = f"{self.name}: block of {size} bytes at {offset:#x} in {width}-byte accesses"
        if width not in self.rule.direct_widths:
            raise WidthRefused(
                f"{what}: the rule lets through {sorted(self.rule.direct_widths)}",
                region=self.name, offset=offset, width=width, is_write=is_write,
            )  # fmt: skip
        if offset < 0 or size < 0 or offset + size > self.size:
            raise OutOfBounds(
                f"{what} does not lie inside its {self.size:#x} bytes",
                region=self.name, offset=offset, width=width, is_write=is_write,
            )  # fmt: skip
        if offset % width or size % width:
            raise Misaligned(
                f"{what}: offset and size must be multiples of {width}",
                hint="Use a smaller width",
                region=self.name, offset=offset, width=width, is_write=is_write,
            )  # fmt: skip

    def flush_writes(self, offset: int = 0) -> None:
        """Wait until posted writes have reached the device, by reading back at ``offset``.

        Reads 4 bytes, or the widest below that the device takes.  The register must have no
        read side effects: a rule with ``read_side_effects`` refuses.
        """
        if self.rule.read_side_effects:
            raise Unsupported(
                f"{self.name}: reading back at {offset:#x} could change the device's state",
                hint="Read a register that you know to be harmless instead",
            )
        self._slow_read(offset, max(w for w in self.rule.direct_widths if w <= 4))

    def view(self) -> memoryview:
        """Return the region as plain bytes; only where the rule says RAM-like."""
        raise Unsupported(
            f"{self.name} is device memory: plain loads and copies make accesses of any width",
            hint="Use read_block(), or AccessRule(ram_like=True) if it really is memory",
        )

    def __repr__(self) -> str:
        state = ", closed" if self.closed else ""
        return f"<{type(self).__name__} {self.name}: {self.size:#x} bytes, {self.access}{state}>"


def check_window(region: Region, offset: int, size: int) -> None:
    """Raise unless ``size`` bytes at ``offset`` may become a window of the region."""
    if offset < 0 or size < 0 or offset + size > region.size:
        raise OutOfBounds(
            f"{region.name}: a window of {size:#x} bytes at {offset:#x} does not lie inside its "
            f"{region.size:#x} bytes",
            region=region.name,
            offset=offset,
        )
    if offset % 8:
        raise Misaligned(
            f"{region.name}: a window at {offset:#x} would change what is aligned",
            region=region.name,
            offset=offset,
            hint="Start the window at a multiple of 8",
        )
