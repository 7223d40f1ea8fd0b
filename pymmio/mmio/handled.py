"""Regions whose accesses are calls of a backend: system calls or messages."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pymmio import forks
from pymmio.errors import (
    AccessFault,
    Closed,
    ForkedObject,
    PymmioError,
    ReadOnly,
    WriteOnly,
)
from pymmio.handle import Access, MakesBlocks, RegionHandle
from pymmio.mmio.access import PCI, AccessRule, plan
from pymmio.mmio.doorbell import Doorbell
from pymmio.mmio.pauses import Pauses
from pymmio.mmio.region import Region, check_window

__all__ = ["HandleRegion"]


class HandleRegion(Region):
    """A region behind a :class:`~pymmio.handle.RegionHandle` (pread, message).

    ``explain`` is asked about each failed access and each wait that timed out; it returns the
    exception to be raised.  An access that failed during one of the ``pauses`` is made again.
    """

    def __init__(
        self,
        handle: RegionHandle,
        *,
        access: Access,
        name: str | None = None,
        offset: int = 0,
        size: int | None = None,
        rule: AccessRule = PCI,
        explain: Callable[[PymmioError], PymmioError] | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        info = handle.info
        self.handle = handle
        self.access = access
        self.name = name or info.name
        self.size = info.size - offset if size is None else size
        self.rule = rule
        self._offset = offset
        self._swap = rule.byteorder == "big"  # handles speak little-endian
        self._explain = explain
        self._pauses = pauses or Pauses()
        self._state = "open"
        self._why: Callable[[], PymmioError] | None = None
        self._windows: list[HandleRegion] = []
        self._doorbells: list[Doorbell] = []
        forks.track(self)

    def _load(self, offset: int, width: int) -> int:
        if not self.handle.info.readable:
            raise WriteOnly(f"{self.name} cannot be read", region=self.name, offset=offset)
        while True:
            before = self._pauses.count
            try:
                value = self.handle.read(self._offset + offset, width)
                break
            except AccessFault as error:
                self._raise_unless_paused(before, error)
        return int.from_bytes(value.to_bytes(width, "little"), "big") if self._swap else value

    def _store(self, offset: int, width: int, value: int) -> None:
        if not self.handle.info.writable:
            raise ReadOnly(
                f"{self.name} cannot be written", region=self.name, offset=offset, value=value,
                width=width, is_write=True,
            )  # fmt: skip
        if self._swap:
            value = int.from_bytes(value.to_bytes(width, "little"), "big")
        while True:
            before = self._pauses.count
            try:
                self.handle.write(self._offset + offset, width, value)
                return
            except AccessFault as error:
                self._raise_unless_paused(before, error)

    def _raise_unless_paused(self, before: int, error: AccessFault) -> None:
        """Return, when a pause is over, where that was all; nothing was accessed."""
        if not self._pauses.passed(before):
            raise self._explained(error)
        self._require_open()

    def _explained(self, error: PymmioError) -> PymmioError:
        return error if self._explain is None else self._explain(error)

    def refuse(self, why: Callable[[], PymmioError]) -> None:
        """Turn all users away for good: they raise ``why()``."""
        if self._state == "open":
            self._why = why
            self._let_go("refused")

    def restore(self) -> None:
        """Let users in again after :meth:`refuse`; nothing happens otherwise."""
        if self._state != "refused":
            return
        self._state, self._why = "open", None
        for window in self._windows:
            window.restore()
        for doorbell in self._doorbells:
            doorbell.reopen()

    def read_block(self, offset: int, size: int, *, width: int) -> bytes:
        """Read ``size`` bytes in accesses of ``width`` bytes; see :meth:`Region.read_block`."""
        if not isinstance(self.handle, MakesBlocks) or not self.handle.info.readable:
            return super().read_block(offset, size, width=width)
        self._check_block(offset, size, width, is_write=False)
        try:
            return self.handle.read_block(self._offset + offset, size, width)
        except AccessFault as error:
            raise self._explained(error)  # noqa: B904 (a DeviceGone names its cause itself)

    def write_block(self, offset: int, data: Any, *, width: int) -> None:
        """Write in accesses of ``width`` bytes; see :meth:`Region.write_block`."""
        if not isinstance(self.handle, MakesBlocks) or not self.handle.info.writable:
            super().write_block(offset, data, width=width)
            return
        content = bytes(memoryview(data).cast("B"))
        self._check_block(offset, len(content), width, is_write=True)
        try:
            self.handle.write_block(self._offset + offset, content, width)
        except AccessFault as error:
            raise self._explained(error)  # noqa: B904 (a DeviceGone names its cause itself)

    def _require_open(self) -> None:
        if self._state == "open":
            return
        if self._state == "forked":
            raise ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device after fork"
            )
        if self._why is not None:
            raise self._why()
        raise Closed(f"{self.name} is closed", hint="Open the device again")

    def window(
        self, offset: int, size: int, *, name: str | None = None, rule: AccessRule | None = None
    ) -> HandleRegion:
        """Return a part of the region; see :meth:`Region.window`."""
        self._require_open()
        check_window(self, offset, size)
        window = HandleRegion(
            self.handle,
            access=self.access,
            name=name or f"{self.name}[{offset:#x}:{offset + size:#x}]",
            offset=self._offset + offset,
            size=size,
            rule=rule or self.rule,
            explain=self._explain,
            pauses=self._pauses,
        )
        self._windows.append(window)
        return window

    def doorbell(self, offset: int, width: int = 4) -> Doorbell:
        """Return a doorbell: a pwrite in C, or a value that Python hands on."""
        self._require_open()
        plan(self.rule, offset, width, self.size, region=self.name, is_write=True)
        source = self.handle.pread_source() if self.access is Access.PREAD else None
        if source is None:
            doorbell = Doorbell.python(self, offset, width)
        else:
            fd, file_offset = source
            doorbell = Doorbell.syscall(
                self, offset, width, os.dup(fd), file_offset + self._offset + offset, self._swap
            )
        self._doorbells.append(doorbell)
        return doorbell

    @property
    def closed(self) -> bool:
        """Whether accesses are impossible."""
        return self._state != "open"

    def close(self) -> None:
        """Let go of the region, its windows and its doorbells."""
        if self._state == "open":
            self._let_go("closed")

    def _let_go(self, state: str) -> None:
        self._state = state
        for window in self._windows:
            if self._why is None:
                window.close()
            else:
                window.refuse(self._why)
        for doorbell in self._doorbells:
            doorbell.close()

    def _after_fork(self) -> None:
        if self._state == "open":
            self._state = "forked"
            for doorbell in self._doorbells:
                doorbell.close()
