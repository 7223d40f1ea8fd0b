"""The memory and the interrupts of a replay: where the device's part of the script goes."""

from __future__ import annotations

import mmap
import os
import select
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from pymmio.errors import DmaError, Unsupported
from pymmio.handle import Iova, IovaRange, IrqKind
from pymmio.models.replay.script import Interrupt, Memory, Script

__all__ = ["ReplayDma", "ReplayIrq"]

_TICK_S = 0.001
_JOIN_S = 5.0


class ReplayDma:
    """A :class:`~pymmio.handle.DmaHandle` that looks like the recorded one.

    With the same addresses to choose from the same driver gets the same: a mapping is
    the recorded one with its address and size, else the next with its size.
    """

    pins_memory = False
    translates = True

    def __init__(self, script: Script, lock: threading.RLock) -> None:
        self._script = script
        self._lock = lock
        self._free = list(range(len(script.mappings)))
        self._memory: dict[int, mmap.mmap] = {}
        self._numbers: dict[int, int] = {}
        self._actual: dict[int, int] = {}
        self._early: dict[int, list[Memory]] = {}
        self._gone: set[int] = set()
        facts = script.device
        self.iova_ranges: Sequence[IovaRange] = [
            IovaRange(first, last) for first, last in facts.iova_ranges
        ]
        self.page_size = facts.page_size
        self.max_mappings = facts.max_mappings

    def map(self, iova: Iova, size: int, *, address: int, fd: int, fd_offset: int) -> None:
        """Map memory; what the device wrote there already is put into it."""
        with self._lock:
            if iova in self._memory:
                raise DmaError(f"a replay: {iova:#x} is mapped already")
            number = self._match(iova, size)
            memory = self._memory[iova] = mmap.mmap(fd, size, offset=fd_offset)
            if number is None:
                return
            self._free.remove(number)
            self._numbers[number] = iova
            self._actual[number] = iova
            for step in self._early.pop(number, []):
                memory[step.offset : step.offset + len(step.data)] = step.data

    def _match(self, iova: int, size: int) -> int | None:
        same_size = [n for n in self._free if self._script.mappings[n].size == size]
        for number in same_size:
            if self._script.mappings[number].iova == iova:
                return number
        return same_size[0] if same_size else None

    def unmap(self, iova: Iova, size: int) -> None:
        """Take a mapping away."""
        with self._lock:
            memory = self._memory.get(iova)
            if memory is None or len(memory) != size:
                raise DmaError(f"a replay: no {size:#x} bytes are mapped at {iova:#x}")
            del self._memory[iova]
            memory.close()
            for number in [n for n, at in self._numbers.items() if at == iova]:
                del self._numbers[number]
                self._gone.add(number)

    def put(self, step: Memory) -> None:
        """Write what the device wrote, later if the driver has not mapped it yet."""
        if step.mapping in self._numbers:
            memory = self._memory[self._numbers[step.mapping]]
            memory[step.offset : step.offset + len(step.data)] = step.data
        elif step.mapping not in self._gone:
            self._early.setdefault(step.mapping, []).append(step)

    def translate(self, value: int) -> int:
        """Return a recorded address as it is now; other values as they are."""
        for number, iova in self._actual.items():
            recorded = self._script.mappings[number]
            if recorded.iova <= value < recorded.iova + recorded.size:
                return value - recorded.iova + iova
        return value

    def close(self) -> None:
        """Drop all mappings."""
        with self._lock:
            for memory in self._memory.values():
                memory.close()
            self._memory.clear()
            self._numbers.clear()


class ReplayIrq:
    """An :class:`~pymmio.handle.IrqHandle`; each recorded interrupt is one of its own.

    One that comes before the driver has taken the one before it waits for that: it was
    recorded as another one, and a driver may count.
    """

    def __init__(self, script: Script, lock: threading.RLock) -> None:
        self._counts = script.device.irqs
        self._lock = lock
        self._eventfds: dict[IrqKind, tuple[int, ...]] = {}
        self._waiting: deque[Interrupt] = deque()
        self._is_masked = False
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors the recorded device had."""
        return self._counts.get(str(kind), 0)

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Deliver to these eventfds; what came before is delivered now."""
        if len(eventfds) > self.count(kind):
            raise Unsupported(f"{len(eventfds)} {kind} vectors of {self.count(kind)}")
        with self._lock:
            self._eventfds[kind] = tuple(eventfds)
            if kind is IrqKind.INTX:
                self._is_masked = False
            self._deliver()

    def disable(self, kind: IrqKind) -> None:
        """Deliver nothing of this kind any more."""
        with self._lock:
            self._eventfds.pop(kind, None)

    def unmask_intx(self) -> None:
        """Let the next INTx through."""
        with self._lock:
            self._is_masked = False
            self._deliver()

    def fire(self, step: Interrupt) -> None:
        """Deliver an interrupt, or keep it until it can be delivered."""
        self._waiting.append(step)
        self._deliver()
        if self._waiting and self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="pymmio interrupts of a replay", daemon=True
            )
            self._thread.start()

    def _deliver(self) -> None:
        blocked: set[tuple[IrqKind, int]] = set()
        left: deque[Interrupt] = deque()
        for step in self._waiting:
            place = step.kind, step.vector
            if place in blocked or not self._signal(step):
                blocked.add(place)  # those of one vector stay in order
                left.append(step)
        self._waiting = left

    def _signal(self, step: Interrupt) -> bool:
        eventfds = self._eventfds.get(step.kind, ())
        if step.vector >= len(eventfds) or eventfds[step.vector] < 0:
            return False
        if step.kind is IrqKind.INTX and self._is_masked:
            return False
        descriptor = eventfds[step.vector]
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if poll.poll(0):
            return False  # the one before was not taken yet
        with suppress(BlockingIOError):
            os.eventfd_write(descriptor, step.count)
        self._is_masked = self._is_masked or step.kind is IrqKind.INTX
        return True

    def _run(self) -> None:
        while not self._end.wait(_TICK_S):
            with self._lock:
                self._deliver()
                if not self._waiting:
                    self._thread = None
                    return

    def close(self) -> None:
        """End what delivers in the background."""
        self._end.set()
        thread = self._thread
        if thread is not None:
            thread.join(_JOIN_S)
