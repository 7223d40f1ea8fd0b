"""Plain memory that may fault: mapped files, /dev/dax, the memory of simulated devices."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pymmio import forks
from pymmio.arch import ffi, install_fault_handler, lib
from pymmio.dax.bounds import check_range
from pymmio.dax.errors import media_error
from pymmio.dax.memory import Durability
from pymmio.errors import BufferBusy, Closed, DeviceTimeout, ForkedObject, Unsupported

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["PlainMemory", "write_back_name"]

CLOSE_TIMEOUT_S = 10.0

_BYTES, _SIZE = ffi.typeof("char[]"), ffi.typeof("size_t *")

_NAMES = {
    lib.PM_WB_NONE: None,
    lib.PM_WB_CLFLUSH: "clflush",
    lib.PM_WB_CLFLUSHOPT: "clflushopt",
    lib.PM_WB_CLWB: "clwb",
    lib.PM_WB_DC_CVAC: "dc cvac",
    lib.PM_WB_DC_CVAP: "dc cvap",
    lib.PM_WB_DCBST: "dcbst",
    lib.PM_WB_DCBSTPS: "dcbstps",
    lib.PM_WB_CBO_CLEAN: "cbo.clean",
    lib.PM_WB_NOT_NEEDED: "not needed",
}


def write_back_name() -> str | None:
    """Return the instruction that writes a cache line back on this processor, None if none."""
    return _NAMES[lib.pm_write_back_kind()]


class PlainMemory:
    """A :class:`~pymmio.dax.memory.DaxMemory` over bytes of this process.

    ``memory`` is a writable buffer, or makes a view of one, which is exported until ``close``;
    ``release`` is called then.  ``sync`` makes a range durable where the durability is SYNC.
    Copies run in C without the interpreter lock; a page that faults or is poisoned ends them
    with MediaError.  A forked child keeps a buffer; memory that is somebody's view, such as that of
    a device, raises ForkedObject there.
    """

    is_dereferenceable = True

    def __init__(
        self,
        memory: Buffer | Callable[[], memoryview],
        *,
        name: str,
        durability: Durability = Durability.NONE,
        is_cached: bool = True,
        sync: Callable[[int, int], None] | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        install_fault_handler()
        self.name = name
        self.durability = durability
        self.is_cached = is_cached
        self._sync = sync
        self._release = release
        self._memory = memory
        self._is_forked = False
        self._view: memoryview | None = None
        self._start: Any = None
        self._take()
        self.size = len(self._require_open())
        self._copies = 0
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        forks.track(self)

    def view(self, offset: int, size: int) -> memoryview:
        """Return the bytes themselves; release the view before ``close``."""
        view = self._require_open()
        check_range(self.name, self.size, offset, size)
        return view[offset : offset + size]

    def read_into(self, offset: int, target: Buffer, *, machine_check_safe: bool = True) -> int:
        """Fill ``target`` from ``offset`` on; not ``machine_check_safe``: see DaxMemory."""
        to = ffi.from_buffer(_BYTES, target, require_writable=True)
        moved = ffi.new(_SIZE)
        flags = 0 if machine_check_safe else lib.PM_PLAIN_UNGUARDED
        start = self._begin(offset, len(to))
        try:
            failed = lib.pm_plain_copy(to, start, len(to), flags, moved)
        finally:
            self._end()
        if failed:
            raise media_error(self.name, offset, len(to), int(moved[0]))
        return len(to)

    def write_from(
        self, offset: int, data: Buffer, *, nocache: bool = False, machine_check_safe: bool = True
    ) -> int:
        """Write ``data`` at ``offset``.

        Raises Unsupported where ``nocache`` would make it durable and the processor cannot.
        """
        if nocache and self.durability is Durability.WRITE_BACK and write_back_name() is None:
            raise self._no_write_back()
        source = ffi.from_buffer(_BYTES, data)
        moved = ffi.new(_SIZE)
        flags = lib.PM_PLAIN_NOCACHE if nocache else 0
        if not machine_check_safe:
            flags |= lib.PM_PLAIN_UNGUARDED
        start = self._begin(offset, len(source))
        try:
            failed = lib.pm_plain_copy(start, source, len(source), flags, moved)
        finally:
            self._end()
        if failed:
            raise media_error(self.name, offset, len(source), int(moved[0]))
        return len(source)

    def zero(self, offset: int, size: int) -> None:
        """Write zeros."""
        moved = ffi.new(_SIZE)
        start = self._begin(offset, size)
        try:
            failed = lib.pm_plain_fill(start, size, 0, moved)
        finally:
            self._end()
        if failed:
            raise media_error(self.name, offset, size, int(moved[0]))

    def persist(self, offset: int, size: int) -> None:
        """Write caches back, or let the kernel do so; nothing where nothing is durable."""
        start = self._begin(offset, size)
        try:
            if self.durability is Durability.WRITE_BACK:
                failed = lib.pm_write_back(start, size)
                if failed == lib.PM_FAULT:
                    done = lib.pm_last_fault().address - int(ffi.cast("uintptr_t", start))
                    raise media_error(self.name, offset, size, done, what="write-back")
                if failed:
                    raise self._no_write_back()
            elif self.durability is Durability.SYNC and self._sync is not None:
                try:
                    self._sync(offset, size)
                except OSError as error:
                    raise media_error(self.name, offset, size, 0, what="write-back") from error
        finally:
            self._end()

    def close(self) -> None:
        """Let go of the memory; closing twice is fine.  Raises BufferBusy while views exist."""
        if self._is_forked:
            return
        with self._left:
            if self._view is None:
                return
            view, self._view = self._view, None
            if not self._left.wait_for(lambda: not self._copies, CLOSE_TIMEOUT_S):
                raise DeviceTimeout(f"{self.name}: a copy has not ended; the memory stays mapped")
            self._start = None
        view.release()
        try:
            self._release()
        except BufferError as error:
            self._take()
            raise BufferBusy(
                f"{self.name}: memoryviews of it exist", hint="Release them, then close again"
            ) from error

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._copies = 0
        self._is_forked = callable(self._memory)

    def _no_write_back(self) -> Unsupported:
        return Unsupported(
            f"{self.name}: this processor has no instruction for programs that writes caches back",
            hint="Use a plain mapping and fsync",
        )

    def _take(self) -> None:
        memory = self._memory() if callable(self._memory) else self._memory
        self._view = memoryview(memory).cast("B")
        self._start = ffi.from_buffer(_BYTES, self._view, require_writable=True)

    def _begin(self, offset: int, size: int) -> Any:
        """Return the address of a range, which stays mapped until ``_end``."""
        with self._lock:
            self._require_open()
            check_range(self.name, self.size, offset, size)
            self._copies += 1
            return self._start + offset

    def _end(self) -> None:
        with self._lock:
            self._copies -= 1
            if self._view is None:
                self._left.notify_all()

    def _require_open(self) -> memoryview:
        if self._is_forked:
            raise ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device in the child"
            )
        if self._view is None:
            raise Closed(f"{self.name} is closed", hint="Open it again")
        return self._view
