"""A region whose single accesses are recorded, in the order in which they are made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pymmio.errors import Closed, PymmioError, ReadOnly, WriteOnly
from pymmio.handle import CONFIG_REGION
from pymmio.mmio.access import AccessRule, plan
from pymmio.mmio.doorbell import Doorbell
from pymmio.mmio.region import Region
from pymmio.trace import AccessEvent, LifeEvent, RecordingSink

__all__ = ["RecordedRegion"]

_NOT_MADE = (Closed, ReadOnly, WriteOnly)
"""What is raised before the device is touched: nothing that a replay could see."""


class RecordedRegion(Region):
    """Stands in front of another region and makes every access by itself.

    What the rule splits, what a wait polls and what a block consists of are events of their own:
    a recording has what the device got.
    """

    def __init__(self, inner: Region, sink: RecordingSink, *, index: int, base: int = 0) -> None:
        """``index`` is that of the region, ``base`` where a window starts in it."""
        self.inner = inner
        self.sink = sink
        self.index = index
        self.base = base
        self.name = inner.name
        self.size = inner.size
        self.rule = inner.rule
        self.access = inner.access
        self._polling = threading.local()

    def _load(self, offset: int, width: int) -> int:
        kind = "poll" if getattr(self._polling, "is_on", False) else "read"
        return self._made(kind, offset, width, lambda: self.inner._load(offset, width))

    def _store(self, offset: int, width: int, value: int) -> None:
        def store() -> int:
            self.inner._store(offset, width, value)
            return value

        self._made("write", offset, width, store)

    def _made(self, kind: str, offset: int, width: int, call: Callable[[], int]) -> int:
        with self.sink.around(waits=self.index != CONFIG_REGION):
            start_ns = time.monotonic_ns()
            value: int | None = None
            error: str | None = None
            try:
                value = call()
            except _NOT_MADE:
                raise
            except PymmioError as raised:
                error = f"{type(raised).__name__}: {raised}"
                raise
            finally:
                if value is not None or error is not None:
                    now_ns = time.monotonic_ns()
                    on_the_bus = None if value is None else self._bus_value(value, width)
                    event = AccessEvent(
                        now_ns, self.name, kind, offset, width, on_the_bus, width, error,
                        threading.get_native_id(), self.index, self.base, now_ns - start_ns,
                    )  # fmt: skip
                    self.sink.after(event)
            return value

    def _bus_value(self, value: int, width: int) -> int:
        if self.rule.byteorder == "little":
            return value
        return int.from_bytes(value.to_bytes(width, "little"), "big")

    def _wait(self, offset: int, width: int, mask: int, value: int, timeout_s: float) -> int:
        self._require_open()
        pieces = plan(self.rule, offset, width, self.size, region=self.name)
        self._polling.is_on = len(pieces) == 1
        try:
            return super()._wait(offset, width, mask, value, timeout_s)
        finally:
            self._polling.is_on = False
            self.sink.finish_run()

    def _require_open(self) -> None:
        self.inner._require_open()

    def _explained(self, error: PymmioError) -> PymmioError:
        return self.inner._explained(error)

    def window(
        self, offset: int, size: int, *, name: str | None = None, rule: AccessRule | None = None
    ) -> RecordedRegion:
        """Return a recorded window."""
        window = self.inner.window(offset, size, name=name, rule=rule)
        return RecordedRegion(window, self.sink, index=self.index, base=self.base + offset)

    def doorbell(self, offset: int, width: int = 4) -> Doorbell:
        """Return a doorbell that goes through this region, so that rings are recorded."""
        self.inner.doorbell(offset, width).close()  # the same refusals
        return Doorbell.python(self, offset, width)

    def view(self) -> memoryview:
        """Return plain bytes, whose accesses cannot be recorded: the recording says so."""
        view = self.inner.view()
        self.sink.note(LifeEvent(time.monotonic_ns(), "view", thread=threading.get_native_id()))
        return view

    @property
    def closed(self) -> bool:
        """Whether accesses are impossible."""
        return self.inner.closed

    def close(self) -> None:
        """Close the region behind."""
        self.inner.close()
