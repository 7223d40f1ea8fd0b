"""Doorbells in shared memory: a driver stores there, whoever serves the model polls."""

from __future__ import annotations

import mmap
import select
from collections.abc import Mapping, Sequence
from typing import Any

from pymmio.arch import ffi, lib
from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.backend.model_config import msix_table_size
from pymmio.backend.served.memory import BarMemory
from pymmio.handle import MappedArea

__all__ = ["SharedDoorbells", "mappable_doorbells"]

_TAKE = 256
_MOST = 256 << 10
"""Bytes of doorbells of a BAR that are polled; a look at more would take too long."""


def mappable_doorbells(
    model: DeviceModel, page: int = mmap.PAGESIZE
) -> dict[int, list[MappedArea]]:
    """Return the whole pages of doorbells of each BAR that has some.

    A page that holds a part of the MSI-X table or its PBA is left out, and a BAR with more
    doorbells than can be polled.
    """
    found = {}
    for bar in model.bars:
        areas = [area for one in bar.doorbells for area in _pages(model, bar, one, page)]
        if 0 < sum(area.size for area in areas) <= _MOST:
            found[bar.index] = areas
    return found


def _pages(model: DeviceModel, bar: BarSpec, area: MappedArea, page: int) -> list[MappedArea]:
    first = -(-area.offset // page)
    end = min(area.offset + area.size, bar.size) // page
    taken = range(0)
    if model.msix_vectors and model.msix_bar == bar.index:
        table_end = model.msix_offset + msix_table_size(model.msix_vectors)
        taken = range(model.msix_offset // page, -(-table_end // page))
    pages = [n for n in range(first, end) if n not in taken]
    areas: list[MappedArea] = []
    for n in pages:
        if areas and areas[-1].offset + areas[-1].size == n * page:
            areas[-1] = MappedArea(areas[-1].offset, areas[-1].size + page)
        else:
            areas.append(MappedArea(n * page, page))
    return areas


class SharedDoorbells:
    """The doorbell pages of a model in memory files, one for each BAR, as large as the BAR.

    ``areas`` is what :func:`mappable_doorbells` returns.  What is in the rest of a file means
    nothing.
    """

    def __init__(
        self, name: str, model: DeviceModel, areas: Mapping[int, Sequence[MappedArea]]
    ) -> None:
        self.areas = areas
        self._memory: dict[int, BarMemory] = {}
        self._where: list[tuple[int, int]] = []
        count = sum(len(some) for some in areas.values())
        self._words: Any = ffi.new("pm_words[]", max(count, 1))
        self._places = ffi.new("uint32_t[]", _TAKE)
        self._values = ffi.new("uint32_t[]", _TAKE)
        self._keep: list[Any] = []
        try:
            for bar in model.bars:
                if bar.index in areas:
                    self._add(name, bar, areas[bar.index])
        except BaseException:
            self.close()
            raise

    def _add(self, name: str, bar: BarSpec, areas: Sequence[MappedArea]) -> None:
        memory = BarMemory(f"pymmio-{name}-doorbells{bar.index}", bar.size, sealed=True)
        self._memory[bar.index] = memory
        base = ffi.from_buffer(memory.map)
        self._keep.append(base)
        for area in areas:
            words = self._words[len(self._where)]
            words.base = ffi.cast("uint32_t *", base + area.offset)
            words.count = area.size // 4
            lib.pm_words_clear(ffi.addressof(words))
            self._where.append((bar.index, area.offset))

    def file_of(self, bar: int) -> int:
        """Return the descriptor of the file of a BAR; it stays ours."""
        return self._memory[bar].fd

    def clear(self) -> None:
        """Forget what was written and not taken."""
        for index in range(len(self._where)):
            lib.pm_words_clear(ffi.addressof(self._words[index]))

    def take(self) -> list[tuple[int, int, int]]:
        """Return what was written since the last time: (BAR, offset, value)."""
        found: list[tuple[int, int, int]] = []
        for index, (bar, start) in enumerate(self._where):
            words = ffi.addressof(self._words[index])
            while count := lib.pm_words_take(words, self._places, self._values, _TAKE):
                found += [(bar, start + 4 * self._places[n], self._values[n]) for n in range(count)]
                if count < _TAKE:
                    break
        return found

    def wait(
        self,
        fds: Sequence[int],
        *,
        spin_s: float,
        pauses_s: tuple[float, float],
        timeout_s: float,
    ) -> list[int]:
        """Wait until a doorbell was rung or some of ``fds`` can be read; return these.

        Looks all the time for ``spin_s``, then between pauses that grow from the shortest to
        the longest of ``pauses_s``.
        """
        polled: Any = ffi.new("struct pollfd[]", [(fd, select.POLLIN, 0) for fd in fds])
        seen: int = lib.pm_words_wait(
            self._words,
            len(self._where),
            polled,
            len(fds),
            int(spin_s * 1e9),
            *(int(pause * 1e9) for pause in pauses_s),
            int(timeout_s * 1e9),
        )
        if not seen & lib.PM_WORDS_READY:
            return []
        return [fd for n, fd in enumerate(fds) if polled[n].revents]

    def close(self) -> None:
        """Unmap and close; who else has them mapped keeps the memory.  Again is fine."""
        for index in range(len(self._where)):
            self._words[index].count = 0
        self._where = []
        while self._keep:
            ffi.release(self._keep.pop())
        while self._memory:
            self._memory.popitem()[1].close()
