"""Regions on a mapping: one instruction an access, checked by the C type below."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

from pymmio.arch import ffi, lib, make_region_type
from pymmio.errors import Closed, PymmioError, Unsupported
from pymmio.handle import Access
from pymmio.mmio.access import PCI, AccessRule, plan
from pymmio.mmio.doorbell import Doorbell
from pymmio.mmio.failures import Place, access_failed, read_only
from pymmio.mmio.mapping import Mapping
from pymmio.mmio.region import Region, check_window

__all__ = ["MappedRegion"]

_TAKES = {Access.MIO: "an instruction of its own", Access.SYSCALL: "a system call"}

SLICE_NS = 20_000_000
"""How long a call in C may go on before Python looks for signals, in nanoseconds."""


class _MappedMethods(Region):
    """What the C type below asks when an access is not plainly good, and the slow rest."""

    if not TYPE_CHECKING:  # the attributes live in the C type
        __slots__ = ()

    if TYPE_CHECKING:
        mapping: Mapping
        _offset: int
        _swap: bool
        _state: str

        def _bind(self, mapping: int, offset: int, size: int, widths: int, swap: bool) -> None: ...
        def _unbind(self) -> None: ...

    def __init__(
        self,
        mapping: Mapping,
        *,
        name: str | None = None,
        offset: int = 0,
        size: int | None = None,
        rule: AccessRule = PCI,
        is_whole: bool = True,
    ) -> None:
        """``offset`` is in the mapping.  A window (not ``is_whole``) never closes the mapping."""
        mapping.require_open()
        self.mapping = mapping
        self.name = name or mapping.name
        self.size = mapping.size - offset if size is None else size
        self.rule = rule
        self._offset = offset
        self._state = "whole" if is_whole else "window"
        self._swap = rule.byteorder != sys.byteorder
        self._turn_on()
        mapping.attach(self)

    @property
    def access(self) -> Access:  # type: ignore[override]
        """How accesses are made: MAPPED; on s390x MIO or SYSCALL for PCI memory."""
        return self.mapping.access

    def _turn_off(self) -> None:
        self._unbind()

    def _turn_on(self) -> None:
        if self._state != "closed":
            widths = sum(self.rule.direct_widths)  # 1, 2, 4, 8 are a bit mask as they are
            self._bind(self.mapping.c_address, self._offset, self.size, widths, self._swap)

    def _require_open(self) -> None:
        self.mapping.require_open()
        if self._state == "closed":
            raise Closed(f"{self.name} is closed", hint="Make the window again")

    def _explained(self, error: PymmioError) -> PymmioError:
        explain = self.mapping.explain
        return error if explain is None else explain(error)

    def _load(self, offset: int, width: int) -> int:
        value = ffi.new("uint64_t *")
        while error := lib.pm_read(self.mapping.cdata, self._offset + offset, width, value):
            self._raise_unless_paused(offset, width, None, error)
        return self._ordered(int(value[0]), width)

    def _store(self, offset: int, width: int, value: int) -> None:
        number = self._ordered(value, width)
        while error := lib.pm_write(self.mapping.cdata, self._offset + offset, width, number):
            self._raise_unless_paused(offset, width, value, error)

    def _raise_unless_paused(self, offset: int, width: int, value: int | None, error: int) -> None:
        """Return, when a pause is over, where that was all; nothing was accessed."""
        if error != lib.PM_CLOSED:
            self._faulted(offset, width, value, error)
        self._require_open()

    def _ordered(self, value: int, width: int) -> int:
        if not self._swap:
            return value
        return int.from_bytes(value.to_bytes(width, "little"), "big")

    def _faulted(self, offset: int, width: int, value: int | None, error: int) -> NoReturn:
        """Raise what an accessor of the core reported."""
        is_write = value is not None
        what = f"{self.name}: {'write' if is_write else 'read'} of {width} bytes at {offset:#x}"
        place = Place(what, self.name, offset, width, value, is_write)
        failed = access_failed(place, error)
        if is_write and not self.mapping.writable:
            raise read_only(place, failed)
        raise self._explained(failed)

    def _wait(self, offset: int, width: int, mask: int, value: int, timeout_s: float) -> int:
        self._require_open()
        pieces = plan(self.rule, offset, width, self.size, region=self.name)
        if len(pieces) > 1 or value & ~mask:
            return super()._wait(offset, width, mask, value, timeout_s)
        last = ffi.new("uint64_t *")
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        while True:
            error = lib.pm_wait(
                self.mapping.cdata, self._offset + offset, width, self._swap, mask, value,
                deadline_ns, SLICE_NS, last,
            )  # fmt: skip
            if error == lib.PM_OK:
                return int(last[0])
            if error == lib.PM_TIMEOUT:
                raise self._timed_out(offset, width, mask, value, int(last[0]), timeout_s)
            if error != lib.PM_AGAIN:
                self._raise_unless_paused(offset, width, None, error)

    def read_block(self, offset: int, size: int, *, width: int) -> bytes:
        """Read ``size`` bytes in accesses of ``width`` bytes; see :meth:`Region.read_block`.

        A fault is an AccessFault whose ``offset`` says how far the copy came.
        """
        self._check_block(offset, size, width, is_write=False)
        data = bytearray(size)
        memory = ffi.from_buffer("uint8_t[]", data)
        moved = ffi.new("size_t *")
        done = 0
        while error := lib.pm_copy_from(
            self.mapping.cdata, self._offset + offset + done, memory + done, size - done, width,
            moved,
        ):  # fmt: skip
            done += int(moved[0])
            self._raise_unless_paused(offset + done, width, None, error)
        return bytes(data)

    def write_block(self, offset: int, data: Any, *, width: int) -> None:
        """Write the bytes of ``data`` in accesses of ``width`` bytes, low address first."""
        memory = ffi.from_buffer("uint8_t[]", data)
        self._check_block(offset, len(memory), width, is_write=True)
        size, done = len(memory), 0
        moved = ffi.new("size_t *")
        while error := lib.pm_copy_to(
            self.mapping.cdata, self._offset + offset + done, memory + done, size - done, width,
            moved,
        ):  # fmt: skip
            done += int(moved[0])
            value = int.from_bytes(bytes(memory[done : done + width]), self.rule.byteorder)
            self._raise_unless_paused(offset + done, width, value, error)

    def write_combined(self, offset: int, data: Any) -> None:
        """Write in stores as wide as the machine has them; see :meth:`Region.write_combined`.

        On s390x with memory-I/O instructions that is up to 128 bytes a store (PCISTBI, then
        PCIWB), elsewhere 8.
        """
        memory = ffi.from_buffer("uint8_t[]", data)
        self._check_block(offset, len(memory), 8, is_write=True)
        size, done = len(memory), 0
        moved = ffi.new("size_t *")
        while error := lib.pm_copy_combined(
            self.mapping.cdata, self._offset + offset + done, memory + done, size - done, moved
        ):
            done += int(moved[0])
            value = int.from_bytes(bytes(memory[done : done + 8]), self.rule.byteorder)
            self._raise_unless_paused(offset + done, 8, value, error)

    def window(
        self, offset: int, size: int, *, name: str | None = None, rule: AccessRule | None = None
    ) -> MappedRegion:
        """Return a part of the region; see :meth:`Region.window`."""
        check_window(self, offset, size)
        return MappedRegion(
            self.mapping,
            name=name or f"{self.name}[{offset:#x}:{offset + size:#x}]",
            offset=self._offset + offset,
            size=size,
            rule=rule or self.rule,
            is_whole=False,
        )

    def doorbell(self, offset: int, width: int = 4) -> Doorbell:
        """Return a doorbell whose access is one store of the core."""
        self._require_open()
        plan(self.rule, offset, width, self.size, region=self.name, is_write=True)
        at = self._offset + offset
        return Doorbell.mapped(self, offset, width, self.mapping, at, self._swap)

    def view(self) -> memoryview:
        """Return the region as plain bytes; only where the rule says RAM-like.

        Never where the memory is not reached by plain loads: PCI memory on s390x.
        """
        if self.access is not Access.MAPPED:
            raise Unsupported(
                f"{self.name} is PCI memory, which plain loads and stores do not reach on s390x: "
                f"each access takes {_TAKES[self.access]}, and a memoryview cannot do that",
                hint="Use read_block(), write_block() or write_combined()",
            )
        if not self.rule.ram_like:
            return super().view()
        return self.mapping.view(self._offset, self.size)

    @property
    def closed(self) -> bool:
        """Whether accesses are impossible."""
        return self._state == "closed" or not self.mapping.is_open

    def close(self) -> None:
        """Unmap; pollers and doorbells return Closed first.  A window leaves the whole open."""
        if self._state == "whole":
            self.mapping.close()
        else:
            self._state = "closed"
            self._unbind()


if TYPE_CHECKING:

    class MappedRegion(_MappedMethods):
        """A region whose accesses are single instructions on a mapping.

        ``readN`` and ``writeN`` are methods of C: bounds, alignment and rule are checked,
        then there is one load or store, whose fault is an exception.
        """

else:
    MappedRegion = make_region_type(_MappedMethods)
