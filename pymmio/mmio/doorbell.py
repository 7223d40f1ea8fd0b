"""Doorbells: writes that a queue engine in C makes, whatever way the backend has."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from pymmio.arch import ffi, lib
from pymmio.errors import BadArgument, Closed
from pymmio.mmio.failures import Place, access_failed, read_only

if TYPE_CHECKING:
    from pymmio.mmio.mapping import Mapping
    from pymmio.mmio.region import Region

__all__ = ["Doorbell"]

Way = Literal["mapped", "syscall", "python"]


class Doorbell:
    """One doorbell register, ``width`` bytes wide: 4, or 2 as virtio has them.

    ``address`` is that of a ``pm_doorbell`` (pymmio/mmio/doorbell.h) for the engine, valid as
    long as this object lives.  Way "mapped" is a store of the core, "syscall" a pwrite with
    its own error, "python" keeps the last value: after each call of the engine the driver
    calls :meth:`deliver`, which writes it through the region.
    """

    def __init__(
        self, region: Region, offset: int, width: int, way: Way, mapping: Mapping | None = None
    ) -> None:
        """Not for callers: use :meth:`Region.doorbell`."""
        if width not in (2, 4):
            raise BadArgument(f"a doorbell of {width} bytes", hint="Doorbells have 2 or 4")
        self.region = region
        self.offset = offset
        self.width = width
        self.way = way
        self._mapping = mapping
        self._fd = -1
        self._cdata: Any = ffi.new("pm_doorbell *")
        self._cdata.width = width

    @classmethod
    def mapped(
        cls, region: Region, offset: int, width: int, mapping: Mapping, at: int, swap: bool
    ) -> Doorbell:
        """Make a doorbell that stores at ``at`` in the mapping."""
        self = cls(region, offset, width, "mapped", mapping)
        lib.pm_doorbell_set_mapped(self._cdata, mapping.cdata, at, swap)
        return self

    @classmethod
    def syscall(
        cls, region: Region, offset: int, width: int, fd: int, file_offset: int, big_endian: bool
    ) -> Doorbell:
        """Make a doorbell that writes to ``fd``, which it owns from now on."""
        self = cls(region, offset, width, "syscall")
        self._fd = fd
        swap = big_endian == (sys.byteorder == "little")
        lib.pm_doorbell_set_syscall(self._cdata, fd, file_offset, swap)
        return self

    @classmethod
    def python(cls, region: Region, offset: int, width: int = 4) -> Doorbell:
        """Make a doorbell whose value Python hands on."""
        self = cls(region, offset, width, "python")
        lib.pm_doorbell_set_python(self._cdata)
        return self

    @property
    def address(self) -> int:
        """The address of the ``pm_doorbell`` structure."""
        return int(ffi.cast("uintptr_t", self._cdata))

    @property
    def needs_delivery(self) -> bool:
        """Whether :meth:`deliver` has to be called after the engine rang."""
        return self.way == "python"

    @property
    def rings(self) -> int:
        """How often the doorbell was rung."""
        return int(self._cdata.rings)

    def deliver(self) -> None:
        """Write a value that an engine left to Python; nothing where there is none."""
        if self._cdata.has_pending:
            self._cdata.has_pending = 0
            try:
                self.region.write(self.offset, self.width, self._cdata.pending)
            except KeyboardInterrupt:  # the ring must not be lost; a failed one must not return
                self._cdata.has_pending = 1
                raise

    def ring(self, value: int) -> None:
        """Ring from Python, the same way as an engine does."""
        self.check(lib.pm_doorbell_ring(self._cdata, value))
        self.deliver()

    def check(self, error: int) -> None:
        """Raise what a ``PM_*`` code of ``ring`` means; PM_OK is nothing."""
        what = f"{self.region.name}: doorbell at {self.offset:#x}"
        if error == lib.PM_OK:
            return
        if error == lib.PM_CLOSED:
            raise Closed(f"{what} is closed", hint="Open the device again")
        db = self._cdata  # the ring may have failed in another thread
        place = Place(what, self.region.name, self.offset, self.width, None, is_write=True)
        failed = access_failed(place, error, cc=db.cc, status=db.status, number=db.error)
        if self._mapping is not None and not self._mapping.writable:
            raise read_only(place, failed)
        raise self.region._explained(failed)

    def reopen(self) -> None:
        """Ring again after :meth:`close`, where Python hands the values on; else nothing."""
        if self.way == "python":
            self._cdata.has_pending = 0
            lib.pm_doorbell_set_python(self._cdata)

    def close(self) -> None:
        """Make every later ring return PM_CLOSED."""
        lib.pm_doorbell_set_closed(self._cdata)
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
