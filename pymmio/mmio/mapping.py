"""A mapping of device memory: shared by regions, pollers and doorbells, unmapped once."""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pymmio import forks
from pymmio.arch import WAYS, ffi, install_fault_handler, lib
from pymmio.errors import (
    BufferBusy,
    Closed,
    ForkedObject,
    PermissionRefused,
    PymmioError,
    Unsupported,
)
from pymmio.handle import Access

if TYPE_CHECKING:
    from pymmio.mmio.mapped import _MappedMethods

__all__ = ["Mapping"]

CLOSE_TIMEOUT_S = 5.0
_MAP_FAILED = (1 << 64) - 1
_MAP_FIXED = 0x10  # Linux, include/uapi/asm-generic/mman-common.h; the same on all of ours


class Mapping:
    """``size`` bytes of a file descriptor's memory, or of a buffer, at one address.

    ``close`` turns all users away (they raise Closed), waits for calls that are still
    running in C, and only then unmaps.  The child of a fork has no mapping: the memory is
    not inherited, and every use raises ForkedObject.

    ``explain`` is asked about each failed access and each wait that timed out; it returns the
    exception to be raised.  The device sets it.

    ``access`` says how single accesses are made: MAPPED (ordinary loads and stores) unless it is
    PCI memory of s390x.
    """

    explain: Callable[[PymmioError], PymmioError] | None = None

    def __init__(
        self,
        address: int,
        size: int,
        name: str,
        keep: object,
        *,
        owned: bool,
        writable: bool = True,
        access: Access = Access.MAPPED,
        pages: tuple[int, int] | None = None,
    ) -> None:
        """Not for callers: use :meth:`of_file` or :meth:`of_buffer`."""
        self.name = name
        self.size = size
        self.access = access
        self.writable = writable
        self._keep = keep
        self._owned = owned
        self._state = "open"
        self._why: Callable[[], PymmioError] | None = None
        self._resumed = threading.Event()
        self._cdata: Any = ffi.new("pm_mapping *")
        self._cdata.base = ffi.cast("uint8_t *", address)
        self._cdata.size = size
        self._cdata.way = WAYS[access]
        self._address = address
        self._pages = (address, size) if pages is None else pages
        self._regions: weakref.WeakSet[_MappedMethods] = weakref.WeakSet()
        self._exports: list[weakref.ref[Any]] = []  # not a WeakSet: cffi's are unhashable
        forks.track(self)

    @classmethod
    def of_file(
        cls,
        fd: int,
        file_offset: int,
        size: int,
        name: str,
        *,
        writable: bool,
        access: Access = Access.MAPPED,
    ) -> Mapping:
        """Map ``size`` bytes at ``file_offset`` shared.

        Where the offset is inside a page (a small BAR) the whole page is mapped, and nothing but
        these bytes can be accessed.

        ``access`` is one of :func:`pymmio.arch.pci_ways` for PCI memory, MAPPED for plain memory.
        The descriptor is not duplicated and may be closed afterwards.  Installs the handler
        for device faults, or puts it on top again.
        """
        install_fault_handler()
        prot = lib.PROT_READ | (lib.PROT_WRITE if writable else 0)
        before = file_offset % mmap.PAGESIZE
        length = before + size
        pointer = lib.mmap(ffi.NULL, length, prot, lib.MAP_SHARED, fd, file_offset - before)
        start = int(ffi.cast("uintptr_t", pointer))
        if start == _MAP_FAILED:
            number = ffi.errno
            what = f"{name}: {size:#x} bytes cannot be mapped: {os.strerror(number)}"
            if number in (errno.EPERM, errno.EACCES):
                raise PermissionRefused(what, hint="Look at the permissions of the device node")
            raise Unsupported(what, hint="Open the device with access='pread'")
        lib.madvise(pointer, length, lib.MADV_DONTFORK)
        return cls(
            start + before, size, name, None, owned=True, writable=writable, access=access,
            pages=(start, length),
        )  # fmt: skip

    @classmethod
    def of_buffer(cls, buffer: Any, name: str) -> Mapping:
        """Take the memory of a writable buffer, which is kept alive, as if it were mapped."""
        install_fault_handler()
        memory = ffi.from_buffer("uint8_t[]", buffer, require_writable=True)
        return cls(int(ffi.cast("uintptr_t", memory)), len(memory), name, memory, owned=False)

    @property
    def cdata(self) -> Any:
        """The ``pm_mapping *`` for functions of the core."""
        return self._cdata

    @property
    def c_address(self) -> int:
        """The address of the ``pm_mapping`` structure."""
        return int(ffi.cast("uintptr_t", self._cdata))

    @property
    def is_open(self) -> bool:
        """Whether accesses are possible, at the latest after a pause."""
        return self._state in ("open", "paused")

    def require_open(self) -> None:
        """Return when accesses are possible, after a pause too; raise why they never will be.

        Raises Closed, ForkedObject, or what :meth:`refuse` was given.
        """
        while self._state == "paused":
            self._resumed.wait()
        if self._state == "open":
            return
        if self._state == "forked":
            raise ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device after fork"
            )
        if self._why is not None:
            raise self._why()
        raise Closed(f"{self.name} is closed", hint="Open the device again")

    def pause(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Keep everybody from the memory until :meth:`resume`, :meth:`refuse` or :meth:`close`.

        Returns when no call in C works on it any more; accesses that come meanwhile wait.
        (The kernel lets a load sleep while it resets the device, where nothing ends it.)
        Raises BufferBusy, and pauses nothing, if a call has not come back after ``timeout_s``.
        """
        self.require_open()
        self._resumed.clear()
        self._state = "paused"
        self._turn_away()
        try:
            self._wait_for_users(timeout_s)
        except BufferBusy:
            self.resume()
            raise

    def resume(self) -> None:
        """Let accesses through again after a pause; nothing happens otherwise."""
        if self._state != "paused":
            return
        self._cdata.closing = 0
        self._state = "open"
        for region in list(self._regions):
            region._turn_on()
        self._resumed.set()

    def refuse(self, why: Callable[[], PymmioError] | None = None) -> None:
        """Turn all users away for good: they raise ``why()``, Closed without it.

        The memory stays mapped until :meth:`close`.
        """
        if not self.is_open:
            return
        self._why = why
        self._state = "refused"
        self._turn_away()
        self._resumed.set()

    def replace(self, fd: int, file_offset: int) -> None:
        """Put other memory in the place of this, and let everybody in again, also after refuse.

        Size and addresses stay, so that regions, windows and doorbells stay valid.  Raises
        Unsupported where the memory cannot be mapped there, Closed, ForkedObject.
        """
        if self._state in ("closed", "forked"):
            self.require_open()
        start, length = self._pages
        first = file_offset - (self._address - start)
        prot = lib.PROT_READ | (lib.PROT_WRITE if self.writable else 0)
        where = ffi.cast("void *", start)
        flags = lib.MAP_SHARED | _MAP_FIXED
        if int(ffi.cast("uintptr_t", lib.mmap(where, length, prot, flags, fd, first))) != start:
            raise Unsupported(
                f"{self.name}: {self.size:#x} bytes cannot be mapped anew: {os.strerror(ffi.errno)}"
            )
        lib.madvise(where, length, lib.MADV_DONTFORK)
        self._why = None
        self._state = "paused"
        self.resume()

    def attach(self, region: _MappedMethods) -> None:
        """Remember a region that must be turned off when the mapping goes."""
        self._regions.add(region)

    def view(self, offset: int, size: int) -> memoryview:
        """Return plain bytes of the memory; ``close`` raises BufferBusy while a view exists."""
        self.require_open()
        export = ffi.buffer(ffi.cast("uint8_t *", self._address + offset), size)
        self._exports = [e for e in self._exports if e() is not None]
        self._exports.append(weakref.ref(export))
        return memoryview(export)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Turn users away, wait for them, unmap.  Closing twice is fine.

        Raises BufferBusy, and leaves the memory mapped, while a plain view exists or a call
        in C has not come back after ``timeout_s``; then close again.
        """
        if self._state in ("closed", "forked"):
            return
        if views := sum(e() is not None for e in self._exports):
            raise BufferBusy(
                f"{self.name}: {views} memoryviews of it exist",
                hint="Release them before close()",
            )
        self.refuse()
        self._wait_for_users(timeout_s)
        self._state = "closed"
        if self._owned:
            start, length = self._pages
            lib.munmap(ffi.cast("void *", start), length)
        self._keep = None

    def _wait_for_users(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._cdata.users:
            if time.monotonic() > deadline:
                raise BufferBusy(
                    f"{self.name}: {self._cdata.users} calls still use it after {timeout_s} s",
                    hint="Let the threads that use the region end, then close again",
                )
            time.sleep(0.0005)

    def _turn_away(self) -> None:
        self._cdata.closing = 1
        self._turn_off()

    def _turn_off(self) -> None:
        for region in list(self._regions):
            region._turn_off()

    def _after_fork(self) -> None:
        if self._state != "closed":
            self._state = "forked"
            self._turn_away()
            self._resumed = threading.Event()
            self._resumed.set()
