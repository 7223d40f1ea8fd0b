"""The table: what is asked of a region in which state, and the exception that it raises."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from pymmio.errors import (
    AccessFault,
    Closed,
    MioError,
    Misaligned,
    OutOfBounds,
    PymmioError,
    ReadOnly,
    Unsupported,
    ValueOutOfRange,
    WidthRefused,
)
from pymmio.handle import Access
from pymmio.mmio import Region

WIDTHS = (1, 2, 4, 8)
PAGE = 4096  # of the smallest pages; zPCI's system calls know no other


class State(Enum):
    """What is the matter with the region."""

    GOOD = "good"
    GONE = "does not answer"  # decoding is off, the file behind it was cut
    READ_ONLY = "read-only"
    CLOSED = "closed"


@dataclass(frozen=True)
class Row:
    """One question; ``raises`` is the very type, None if it is no error."""

    state: State
    name: str
    call: Callable[[Region], object]
    raises: type[PymmioError] | None


class Bench(Protocol):
    """A kind of region."""

    name: str
    states: frozenset[State]

    def region(self, state: State) -> AbstractContextManager[Region]:
        """Give a region in this state, of at least two pages, for the block."""
        ...

    def is_cause(self, error: AccessFault) -> bool:
        """Whether the exception keeps what this way to memory says of a failure."""
        ...

    def memory(self) -> object:
        """Return what must not be changed by an access that was refused."""
        ...


def _each(state: State, offset: int, width: int, raises: type[PymmioError] | None) -> Iterator[Row]:
    at = f"of {width} at {offset:#x}"
    yield Row(state, f"read {at}", lambda r: r.read(offset, width), raises)
    yield Row(state, f"write {at}", lambda r: r.write(offset, width, 0), raises)


def _others(state: State, raises: type[PymmioError]) -> Iterator[Row]:
    """Yield all that is more than one read or write."""
    calls: dict[str, Callable[[Region], object]] = {
        "read_block": lambda r: r.read_block(0, 64, width=8),
        "wait32": lambda r: r.wait32(0, mask=0, value=0, timeout_s=5),
        **_WRITING,
    }
    yield from (Row(state, name, call, raises) for name, call in calls.items())


_WRITING: dict[str, Callable[[Region], object]] = {
    "write_block": lambda r: r.write_block(0, bytes(64), width=4),
    "write_combined": lambda r: r.write_combined(0, bytes(64)),
    "doorbell": lambda r: r.doorbell(8).ring(1),
}


def rows(size: int) -> Iterator[Row]:
    """Yield the table for a region of ``size`` bytes."""
    good = State.GOOD
    for width in WIDTHS[1:]:
        for offset in range(1, 16):
            if offset % width:  # some of them cross 8 bytes
                yield from _each(good, offset, width, Misaligned)
        yield from _each(good, PAGE - width // 2, width, Misaligned)  # crosses a page
        yield from _each(good, size - width // 2, width, OutOfBounds)
    for width in WIDTHS:
        for offset in (size, -width, 1 << 64):
            yield from _each(good, offset, width, OutOfBounds)
        for offset in (0, PAGE - width, size - width):
            yield Row(good, "no error", lambda r, o=offset, w=width: r.read(o, w), None)  # type: ignore[misc]
    for width in (0, 3, 5, 6, 7, 16, -1):
        yield from _each(good, 0, width, WidthRefused)
    asked: list[tuple[str, Callable[[Region], object], type[PymmioError] | None]] = [
        ("a value too wide", lambda r: r.write8(0, 256), ValueOutOfRange),
        ("a value below 0", lambda r: r.write32(0, -1), ValueOutOfRange),
        ("read_block of nothing", lambda r: r.read_block(0, 0, width=4), None),
        ("write_block of nothing", lambda r: r.write_block(0, b"", width=4), None),
        ("write_combined of nothing", lambda r: r.write_combined(0, b""), None),
        ("read_block of width 0", lambda r: r.read_block(0, 8, width=0), WidthRefused),
        ("read_block of width 3", lambda r: r.read_block(0, 9, width=3), WidthRefused),
        ("read_block that starts between", lambda r: r.read_block(2, 8, width=4), Misaligned),
        ("read_block that ends between", lambda r: r.read_block(0, 6, width=4), Misaligned),
        ("read_block over the end", lambda r: r.read_block(size - 4, 8, width=4), OutOfBounds),
        ("write_block between", lambda r: r.write_block(2, bytes(8), width=4), Misaligned),
        ("write_block of half", lambda r: r.write_block(0, bytes(6), width=4), Misaligned),
        ("write_block over", lambda r: r.write_block(size - 4, bytes(8), width=4), OutOfBounds),
        ("write_combined of 7", lambda r: r.write_combined(0, bytes(7)), Misaligned),
        ("write_combined at 4", lambda r: r.write_combined(4, bytes(8)), Misaligned),
        ("write_combined over", lambda r: r.write_combined(size - 8, bytes(16)), OutOfBounds),
        ("window at 4", lambda r: r.window(4, 8), Misaligned),
        ("window over the end", lambda r: r.window(8, size), OutOfBounds),
        ("doorbell at 2", lambda r: r.doorbell(2), Misaligned),
        ("doorbell behind", lambda r: r.doorbell(size), OutOfBounds),
        ("wait at 2", lambda r: r.wait32(2, mask=0, value=0, timeout_s=5), Misaligned),
        ("wait behind", lambda r: r.wait32(size, mask=0, value=0, timeout_s=5), OutOfBounds),
        ("plain bytes", lambda r: r.view(), Unsupported),
    ]
    yield from (Row(good, *one) for one in asked)
    for state, raises in ((State.GONE, AccessFault), (State.CLOSED, Closed)):
        for width in WIDTHS:
            for offset in (0, 8, PAGE - width):
                yield from _each(state, offset, width, raises)
        yield from _others(state, raises)
    for width in WIDTHS:
        for offset in (0, 8, PAGE - width):
            read, write = _each(State.READ_ONLY, offset, width, ReadOnly)
            yield Row(read.state, read.name, read.call, None)
            yield write
    yield from (Row(State.READ_ONLY, name, call, ReadOnly) for name, call in _WRITING.items())


def is_cause(access: Access, error: AccessFault) -> bool:
    """Whether the exception keeps what an access by this way says when it fails."""
    cause = error.__cause__
    if access in (Access.SYSCALL, Access.PREAD) and isinstance(cause, OSError):
        return error.cause_code == cause.errno
    if access in (Access.MIO, Access.SYSCALL) and isinstance(cause, MioError):
        return error.cause_code == cause.cc
    by_signal = (signal.SIGBUS, signal.SIGSEGV)
    return access in (Access.MAPPED, Access.MIO) and error.cause_code in by_signal


def compare(bench: Bench) -> tuple[int, list[str]]:
    """Ask everything of the states that the bench has: how many rows, and what is wrong."""
    asked, wrong = 0, []
    for state in State:
        if state not in bench.states:
            continue
        with bench.region(state) as region:
            before = bench.memory()
            for row in rows(region.size):
                if row.state is state:
                    asked += 1
                    if fault := _fault(bench, region, row):
                        wrong.append(f"{bench.name}, {state.value}, {row.name}: {fault}")
            if state is State.GOOD and bench.memory() != before:
                wrong.append(f"{bench.name}: what was refused changed the memory")
    return asked, wrong


def _fault(bench: Bench, region: Region, row: Row) -> str:
    error: BaseException | None = None
    try:
        row.call(region)
    except Exception as raised:
        error = raised
    if row.raises is None:
        return "" if error is None else f"raised {error!r}"
    if type(error) is not row.raises:
        return f"wanted {row.raises.__name__}, not {error!r}"
    if row.state is State.GONE:
        assert isinstance(error, AccessFault)
        return "" if bench.is_cause(error) else f"its cause is {error.__cause__!r}"
    if row.state is State.READ_ONLY and error.__cause__ is not None:
        # the machine was asked; where it was not, there is no cause
        cause = error.__cause__
        if not isinstance(cause, AccessFault) or not bench.is_cause(cause):
            return f"its cause is {cause!r}, by {cause.__cause__!r}"
    return ""
