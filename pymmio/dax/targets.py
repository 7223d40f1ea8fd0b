"""DAX devices made of others, as device-mapper has them: linear, stripe, log-writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pymmio.dax.bounds import PAGE_SIZE, check_pages, check_range
from pymmio.errors import BadArgument, Unsupported

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["DaxTarget", "Linear", "LogWrites", "LoggedWrite", "Stripe", "replay"]


class DaxTarget(Protocol):
    """What a target stands on: a DaxDevice, or another target."""

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def synchronous(self) -> bool: ...
    def direct_access(self, page: int, count: int) -> memoryview: ...
    def read_into(self, offset: int, target: Buffer, *, machine_check_safe: bool = True) -> int: ...
    def write_from(
        self, offset: int, data: Buffer, *, nocache: bool = False, machine_check_safe: bool = True
    ) -> int: ...
    def zero(self, page: int, count: int) -> None: ...
    def persist(self, offset: int = 0, size: int | None = None) -> None: ...


class _Mapped:
    """A target that sends each piece of a range to a piece of another device."""

    name: str
    size: int
    _below: Sequence[DaxTarget]

    def _map(self, offset: int, size: int) -> Iterator[tuple[DaxTarget, int, int]]:
        """Yield (device, offset there, size) for a range, in order."""
        raise NotImplementedError

    @property
    def synchronous(self) -> bool:
        """Whether that is so for all that is below."""
        return all(one.synchronous for one in self._below)

    def direct_access(self, page: int, count: int) -> memoryview:
        """Return pages as bytes.  Raises Unsupported where they lie apart."""
        offset, size = page * PAGE_SIZE, count * PAGE_SIZE
        check_range(self.name, self.size, offset, size)
        found = list(self._map(offset, size))
        if len(found) != 1:
            raise Unsupported(
                f"{self.name}: {count} pages from {page} on lie in {len(found)} pieces",
                hint="Ask for fewer pages at a time",
            )
        below, at, length = found[0]
        return below.direct_access(at // PAGE_SIZE, length // PAGE_SIZE)

    def read_into(self, offset: int, target: Buffer, *, machine_check_safe: bool = True) -> int:
        """Fill ``target`` from ``offset`` on."""
        with memoryview(target).cast("B") as to:
            check_range(self.name, self.size, offset, len(to))
            done = 0
            for below, at, length in self._map(offset, len(to)):
                below.read_into(at, to[done : done + length], machine_check_safe=machine_check_safe)
                done += length
            return done

    def write_from(
        self, offset: int, data: Buffer, *, nocache: bool = False, machine_check_safe: bool = True
    ) -> int:
        """Write ``data`` at ``offset``."""
        with memoryview(data).cast("B") as source:
            check_range(self.name, self.size, offset, len(source))
            done = 0
            for below, at, length in self._map(offset, len(source)):
                below.write_from(
                    at,
                    source[done : done + length],
                    nocache=nocache,
                    machine_check_safe=machine_check_safe,
                )
                done += length
            return done

    def zero(self, page: int, count: int) -> None:
        """Write zeros to pages."""
        check_range(self.name, self.size, page * PAGE_SIZE, count * PAGE_SIZE)
        for below, at, length in self._map(page * PAGE_SIZE, count * PAGE_SIZE):
            below.zero(at // PAGE_SIZE, length // PAGE_SIZE)

    def persist(self, offset: int = 0, size: int | None = None) -> None:
        """Make a range durable: one request to each device below, however many pieces it has."""
        size = self.size - offset if size is None else size
        check_range(self.name, self.size, offset, size)
        spans: dict[int, tuple[DaxTarget, int, int]] = {}
        for below, at, length in self._map(offset, size):
            _, start, end = spans.get(id(below), (below, at, at + length))
            spans[id(below)] = below, min(start, at), max(end, at + length)
        for below, start, end in spans.values():
            below.persist(start, end - start)


class Linear(_Mapped):
    """A part of a device: ``size`` bytes from ``start`` on, whole pages."""

    def __init__(self, below: DaxTarget, start: int, size: int) -> None:
        check_range(below.name, below.size, start, size)
        check_pages(below.name, "linear", start=start, size=size)
        self.name = f"linear({below.name}, {start:#x})"
        self.size = size
        self._below = (below,)
        self._start = start

    def _map(self, offset: int, size: int) -> Iterator[tuple[DaxTarget, int, int]]:
        if size:
            yield self._below[0], self._start + offset, size


class Stripe(_Mapped):
    """Several devices, a chunk of pages of each in turn."""

    def __init__(self, below: Sequence[DaxTarget], chunk_pages: int) -> None:
        if not below or chunk_pages < 1:
            raise BadArgument(
                f"a stripe of {len(below)} devices in chunks of {chunk_pages} pages",
                hint="Give one device at least, and one page",
            )
        self._chunk = chunk_pages * PAGE_SIZE
        self._below = tuple(below)
        each = min(one.size for one in below) // self._chunk * self._chunk
        if not each:
            raise BadArgument(
                f"the smallest device has less than a chunk of {self._chunk:#x} bytes",
                hint="Take smaller chunks",
            )
        self.size = each * len(below)
        self.name = f"stripe({', '.join(one.name for one in below)})"

    def _map(self, offset: int, size: int) -> Iterator[tuple[DaxTarget, int, int]]:
        end = offset + size
        while offset < end:
            chunk, inside = divmod(offset, self._chunk)
            row, column = divmod(chunk, len(self._below))
            length = min(self._chunk - inside, end - offset)
            yield self._below[column], row * self._chunk + inside, length
            offset += length


@dataclass(frozen=True, slots=True)
class LoggedWrite:
    """An entry of the log: bytes at an offset, or (``data`` None) that a range is durable.

    ``size`` is that of the range, None with data.
    """

    offset: int
    data: bytes | None
    size: int | None = None


class LogWrites(_Mapped):
    """A device below, and a record of every write to it and of every persist.

    ``log`` takes the entries in order; :func:`replay` makes them again, up to any of them.
    Direct access is refused: stores to a view would not be seen.
    """

    def __init__(self, below: DaxTarget, log: Callable[[LoggedWrite], object]) -> None:
        self.name = f"log-writes({below.name})"
        self.size = below.size
        self._below = (below,)
        self._log = log

    def _map(self, offset: int, size: int) -> Iterator[tuple[DaxTarget, int, int]]:
        yield self._below[0], offset, size

    def direct_access(self, page: int, count: int) -> memoryview:
        """Raise Unsupported."""
        raise Unsupported(
            f"{self.name}: stores to directly mapped pages would not be logged",
            hint="Use read_into and write_from",
        )

    def write_from(
        self, offset: int, data: Buffer, *, nocache: bool = False, machine_check_safe: bool = True
    ) -> int:
        """Log, then write."""
        with memoryview(data).cast("B") as source:
            check_range(self.name, self.size, offset, len(source))
            self._log(LoggedWrite(offset, bytes(source)))
            return super().write_from(
                offset, source, nocache=nocache, machine_check_safe=machine_check_safe
            )

    def zero(self, page: int, count: int) -> None:
        """Log, then write zeros."""
        check_range(self.name, self.size, page * PAGE_SIZE, count * PAGE_SIZE)
        self._log(LoggedWrite(page * PAGE_SIZE, bytes(count * PAGE_SIZE)))
        super().zero(page, count)

    def persist(self, offset: int = 0, size: int | None = None) -> None:
        """Make the range durable, then log that it is."""
        super().persist(offset, size)
        self._log(LoggedWrite(offset, None, self.size - offset if size is None else size))


def replay(log: Sequence[LoggedWrite], target: DaxTarget, count: int | None = None) -> int:
    """Make the first ``count`` entries of a log, or all, on another device; return how many."""
    chosen = log[:count]
    for entry in chosen:
        if entry.data is None:
            target.persist(entry.offset, entry.size)
        else:
            target.write_from(entry.offset, entry.data)
    return len(chosen)
