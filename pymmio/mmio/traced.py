"""A region that reports each access to a trace sink."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from pymmio.errors import PymmioError
from pymmio.mmio.access import AccessRule, Order
from pymmio.mmio.doorbell import Doorbell
from pymmio.mmio.region import Region
from pymmio.trace import AccessEvent, Sink

__all__ = ["TracedRegion"]


class TracedRegion(Region):
    """Stands in front of another region; rules and errors are that region's.

    An event is made when the access has come back, also where it raised.  Doorbells of
    engines are handed to Python, so that they are seen too.
    """

    def __init__(
        self, inner: Region, sink: Sink, *, index: int | None = None, base: int = 0
    ) -> None:
        """``index`` is that of the region, ``base`` where a window starts in it."""
        self.inner = inner
        self.sink = sink
        self.index = index
        self.base = base
        self.name = inner.name
        self.size = inner.size
        self.rule = inner.rule
        self.access = inner.access

    def _report(
        self,
        kind: str,
        offset: int,
        width: int,
        call: Callable[[], Any],
        value: int | None = None,
        size: int = 0,
    ) -> Any:
        """Make an access that is no plain read or write, and report it."""
        start_ns = time.monotonic_ns()
        try:
            result = call()
        except BaseException as raised:
            self._failed(kind, offset, width, start_ns, raised, size)
            raise
        if value is None and isinstance(result, int):
            value = result
        self._tell(kind, offset, width, start_ns, value, size)
        return result

    def _failed(
        self,
        kind: str,
        offset: int,
        width: int,
        start_ns: int,
        raised: BaseException,
        size: int = 0,
    ) -> None:
        self._tell(kind, offset, width, start_ns, None, size, f"{type(raised).__name__}: {raised}")

    def _tell(
        self,
        kind: str,
        offset: int,
        width: int,
        start_ns: int,
        value: int | None,
        size: int = 0,
        error: str | None = None,
    ) -> None:
        now_ns = time.monotonic_ns()
        self.sink(
            AccessEvent(
                now_ns, self.name, kind, offset, width, value, size or width, error,
                threading.get_native_id(), self.index, self.base, now_ns - start_ns,
            )
        )  # fmt: skip

    def _load(self, offset: int, width: int) -> int:
        return self.inner._load(offset, width)

    def _store(self, offset: int, width: int, value: int) -> None:
        self.inner._store(offset, width, value)

    def _require_open(self) -> None:
        self.inner._require_open()

    def _explained(self, error: PymmioError) -> PymmioError:
        return self.inner._explained(error)

    def _traced_read(self, width: int, call: Callable[..., int], offset: int, *more: Any) -> int:
        start_ns = time.monotonic_ns()
        try:
            value = call(offset, *more)
        except BaseException as raised:
            self._failed("read", offset, width, start_ns, raised)
            raise
        self._tell("read", offset, width, start_ns, value)
        return value

    def _traced_write(
        self, width: int, call: Callable[..., None], offset: int, value: int, *more: Any
    ) -> None:
        start_ns = time.monotonic_ns()
        try:
            call(offset, value, *more)
        except BaseException as raised:
            self._failed("write", offset, width, start_ns, raised)
            raise
        self._tell("write", offset, width, start_ns, value)

    def read8(self, offset: int, /) -> int:
        """Read 8 bits and report it."""
        return self._traced_read(1, self.inner.read8, offset)

    def read16(self, offset: int, /) -> int:
        """Read 16 bits and report it."""
        return self._traced_read(2, self.inner.read16, offset)

    def read32(self, offset: int, /) -> int:
        """Read 32 bits and report it."""
        return self._traced_read(4, self.inner.read32, offset)

    def read64(self, offset: int, order: Order | None = None) -> int:
        """Read 64 bits and report it."""
        return self._traced_read(8, self.inner.read64, offset, order)

    def read(self, offset: int, width: int) -> int:
        """Read ``width`` bytes and report it."""
        return self._traced_read(width, self.inner.read, offset, width)

    def write8(self, offset: int, value: int, /) -> None:
        """Write 8 bits and report it."""
        self._traced_write(1, self.inner.write8, offset, value)

    def write16(self, offset: int, value: int, /) -> None:
        """Write 16 bits and report it."""
        self._traced_write(2, self.inner.write16, offset, value)

    def write32(self, offset: int, value: int, /) -> None:
        """Write 32 bits and report it."""
        self._traced_write(4, self.inner.write32, offset, value)

    def write64(self, offset: int, value: int, order: Order | None = None) -> None:
        """Write 64 bits and report it."""
        self._traced_write(8, self.inner.write64, offset, value, order)

    def write(self, offset: int, width: int, value: int) -> None:
        """Write ``width`` bytes and report it."""
        start_ns = time.monotonic_ns()
        try:
            self.inner.write(offset, width, value)
        except BaseException as raised:
            self._failed("write", offset, width, start_ns, raised)
            raise
        self._tell("write", offset, width, start_ns, value)

    def _wait(self, offset: int, width: int, mask: int, value: int, timeout_s: float) -> int:
        call = lambda: self.inner._wait(offset, width, mask, value, timeout_s)  # noqa: E731
        last: int = self._report("wait", offset, width, call)
        return last

    def read_block(self, offset: int, size: int, *, width: int) -> bytes:
        """Read a block and report it as one event."""
        call = lambda: self.inner.read_block(offset, size, width=width)  # noqa: E731
        data: bytes = self._report("block", offset, width, call, size=size)
        return data

    def write_block(self, offset: int, data: Any, *, width: int) -> None:
        """Write a block and report it as one event."""
        call = lambda: self.inner.write_block(offset, data, width=width)  # noqa: E731
        self._report("block", offset, width, call, size=len(memoryview(data).cast("B")))

    def write_combined(self, offset: int, data: Any) -> None:
        """Write a block and report it as one event."""
        call = lambda: self.inner.write_combined(offset, data)  # noqa: E731
        self._report("block", offset, 8, call, size=len(memoryview(data).cast("B")))

    def flush_writes(self, offset: int = 0) -> None:
        """Read back, and report it."""
        if self.rule.read_side_effects:
            self.inner.flush_writes(offset)  # which refuses
        self.read(offset, max(width for width in self.rule.direct_widths if width <= 4))

    def window(
        self, offset: int, size: int, *, name: str | None = None, rule: AccessRule | None = None
    ) -> TracedRegion:
        """Return a traced window."""
        window = self.inner.window(offset, size, name=name, rule=rule)
        return TracedRegion(window, self.sink, index=self.index, base=self.base + offset)

    def doorbell(self, offset: int, width: int = 4) -> Doorbell:
        """Return a doorbell that goes through this region, so that rings are reported."""
        self.inner.doorbell(offset, width).close()  # the same refusals
        return Doorbell.python(self, offset, width)

    def view(self) -> memoryview:
        """Return plain bytes, whose accesses cannot be traced."""
        return self.inner.view()

    @property
    def closed(self) -> bool:
        """Whether accesses are impossible."""
        return self.inner.closed

    def close(self) -> None:
        """Close the region behind."""
        self.inner.close()
