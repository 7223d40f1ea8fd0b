"""Sinks that write files: JSON lines to be read again, and recordings to be replayed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from typing import Protocol, TextIO

from pymmio.errors import BadArgument
from pymmio.owner import Owner
from pymmio.trace.events import AccessEvent, DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from pymmio.trace.facts import DeviceFacts
from pymmio.trace.lines import LONGEST_DATA, header_line, line_of, names_line
from pymmio.trace.names import RegisterNames
from pymmio.trace.sinks import EventSink

__all__ = ["JsonLinesSink", "RecordingSink", "SharedMemoryWatch"]


class JsonLinesSink(EventSink, Owner):
    """Writes what happens to a file, one JSON object a line (:mod:`pymmio.trace.lines`).

    The file is made anew at once and ends with the device, or with :meth:`close`.  After
    ``limit`` events nothing more is written; the last line says how many were lost.  A file is
    for one device: it begins with what is known about it.  Raises OSError.
    """

    def __init__(self, path: str | PathLike[str], *, limit: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.written = 0  #: events so far
        self.lost = 0
        self._limit = limit
        self._names: dict[int, str] = {}
        self._device: str | None = None
        buffering = 1 if self.is_recording else -1  # a recording may end with a killed program
        self._file: TextIO | None = open(path, "w", buffering, encoding="ascii")  # noqa: SIM115

    def begin(self, device: DeviceFacts) -> None:
        """Write the header.  Raises BadArgument for a second device."""
        with self.lock:
            if self._device is not None:
                raise BadArgument(
                    f"{self.path} already has the trace of {self._device}, not of {device.name}",
                    hint="Give each device a sink of its own",
                )
            self._device = device.name
            self._names = device.region_names()
            self._put(header_line(device, recording=self.is_recording))

    def __call__(self, event: AccessEvent) -> None:
        """Write an access."""
        self._write(event)

    def note(self, event: DmaEvent | MemoryEvent | IrqEvent | LifeEvent) -> None:
        """Write what is no access."""
        self._write(event)

    def name_registers(self, index: int, names: RegisterNames) -> None:
        """Write the names, so that who reads the file needs no driver."""
        with self.lock:
            self._put(names_line(index, names))

    def _write(self, event: Event) -> None:
        with self.lock:
            if self._file is None:
                return
            if self._limit is not None and self.written >= self._limit:
                self.lost += 1
                return
            self.written += 1
            self._put(line_of(event, self._names))

    def _put(self, line: str) -> None:
        if self._file is not None:
            self._file.write(line + "\n")

    def end(self) -> None:
        """Finish the file."""
        self.close()

    def flush(self) -> None:
        """Have all lines so far in the file."""
        with self.lock:
            if self._file is not None:
                self._file.flush()

    def close(self) -> None:
        """Write the last line and close the file; closing twice is fine."""
        with self.lock:
            if self._file is None:
                return
            self._put(f'{{"kind": "end", "lost": {self.lost}}}')
            file, self._file = self._file, None
            file.close()


class SharedMemoryWatch(Protocol):
    """What keeps two copies of DMA memory: the program's, and the one that the device has."""

    def push(self) -> None:
        """Give the device what the program has written."""
        ...

    def pull(self) -> list[MemoryEvent]:
        """Give the program what the device has written; return that."""
        ...


class RecordingSink(JsonLinesSink):
    """Writes a recording, which ``sim:replay?file=…`` plays.

    With this sink the device works on a memory of its own: before each access what the program
    wrote is copied there, after it what the device wrote is copied back, and put into the file.
    So the recording knows who wrote what, and when the program could see it.  Accesses are made
    one at a time, whatever thread they come from.

    ``memory_limit`` bounds the DMA memory that is watched, in bytes: what is beyond is refused.
    """

    is_recording = True

    def __init__(self, path: str | PathLike[str], *, memory_limit: int = 256 << 20) -> None:
        super().__init__(path)
        self.memory_limit = memory_limit
        self._watches: list[SharedMemoryWatch] = []
        self._run: AccessEvent | None = None
        self._gate = threading.Event()
        self._gate.set()

    def watch(self, memory: SharedMemoryWatch) -> None:
        """Keep this memory in step from now on."""
        with self.lock:
            self._watches.append(memory)

    @contextmanager
    def around(self, *, waits: bool = True) -> Iterator[None]:
        """Make one access in the body: nobody else does meanwhile, the memory is in step.

        It waits for the end of a reset, unless ``waits`` is False (configuration space).
        """
        while True:
            with self.lock:
                if not waits or self._gate.is_set():
                    for memory in self._watches:
                        memory.push()
                    yield
                    return
            self._gate.wait()

    def after(self, event: AccessEvent) -> None:
        """Take the access that was made in :meth:`around`, and what the device wrote."""
        if event.kind == "poll" and self._continues(event):
            run = self._run
            assert run is not None
            self._run = replace(run, count=run.count + 1, time_ns=event.time_ns)
        else:
            self.finish_run()
            if event.kind == "poll":
                self._run = event
            else:
                super().__call__(event)
        self._pull()

    def _continues(self, event: AccessEvent) -> bool:
        run = self._run
        return run is not None and (
            (run.thread, run.index, run.position, run.width, run.value, run.error)
            == (event.thread, event.index, event.position, event.width, event.value, event.error)
        )

    def finish_run(self) -> None:
        """Write the polls that are still counted together."""
        with self.lock:
            run, self._run = self._run, None
            if run is not None:
                super().__call__(run)

    def _pull(self) -> None:
        for memory in self._watches:
            for event in memory.pull():
                self.note(event)

    def synchronise(self) -> None:
        """Bring memory of program and device together; called with the lock held."""
        for memory in self._watches:
            memory.push()
        self._pull()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep accesses from being made, those of configuration space excepted.

        The lock is not held in the body: what resets a device may do so in another thread.
        """
        with self.lock:
            self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    def __call__(self, event: AccessEvent) -> None:
        """Write an access."""
        with self.lock:
            self.finish_run()
            super().__call__(event)

    def note(self, event: DmaEvent | MemoryEvent | IrqEvent | LifeEvent) -> None:
        """Write what is no access; long memory in pieces."""
        with self.lock:
            self.finish_run()
            if isinstance(event, MemoryEvent) and len(event.data) > LONGEST_DATA:
                for at in range(0, len(event.data), LONGEST_DATA):
                    data = event.data[at : at + LONGEST_DATA]
                    super().note(replace(event, iova=event.iova + at, data=data))
            else:
                super().note(event)

    def close(self) -> None:
        """Write what is left, and close the file."""
        with self.lock:
            self.finish_run()
            super().close()
