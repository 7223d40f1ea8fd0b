"""A file for Perfetto and chrome://tracing: JSON in the trace event format.

Source: "Trace Event Format", Google, the document that ui.perfetto.dev and catapult refer to.
An array of events: complete events ("X") for accesses, instants ("i") for all else, counters
("C"), and metadata ("M") that names processes and threads.  Times are microseconds.
"""

from __future__ import annotations

import json
from collections import Counter
from os import PathLike
from typing import TextIO

from pymmio.owner import Owner
from pymmio.trace.events import AccessEvent, DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from pymmio.trace.facts import DeviceFacts
from pymmio.trace.names import RegisterNames, region_label
from pymmio.trace.sinks import EventSink

__all__ = ["PerfettoSink"]

_PROCESS = 1


class PerfettoSink(EventSink, Owner):
    """Writes a file that https://ui.perfetto.dev shows: Open trace file.

    There is a track for each region and thread that accesses it, one for interrupts, one for DMA
    and one for the device's life; counters show the memory that is mapped, the interrupts of each
    vector, and the last value written to each doorbell-like register that has a name and no
    fields.  After ``limit`` events nothing more is written.  Raises OSError.
    """

    def __init__(self, path: str | PathLike[str], *, limit: int | None = None) -> None:
        super().__init__()
        self.path = path
        self.written = 0
        self.lost = 0
        self._limit = limit
        self._tracks: dict[tuple[str, int], int] = {}
        self._names: dict[int, RegisterNames] = {}
        self._mapped = 0
        self._irqs: Counter[str] = Counter()
        self._is_first = True
        self._file: TextIO | None = open(path, "w", encoding="ascii")  # noqa: SIM115
        self._file.write("[\n")

    def begin(self, device: DeviceFacts) -> None:
        """Name the process after the device."""
        with self.lock:
            self._put("M", "process_name", args={"name": f"{device.name} ({device.uri})"})

    def __call__(self, event: AccessEvent) -> None:
        """Write an access."""
        with self.lock:
            if self._is_full():
                return
            names = None if event.index is None else self._names.get(event.index)
            label = region_label(event.region)
            register, fields = "", ""
            if names is not None:
                register = names.find(event.position, event.width)[0]
                if event.value is not None:
                    fields = names.fields_of(event.position, event.width, event.value)
            args: dict[str, object] = {"offset": hex(event.position), "width": event.width}
            if event.value is not None:
                args["value"] = hex(event.value)
            for name, value in (("fields", fields), ("error", event.error), ("size", event.size)):
                if value:
                    args[name] = value
            self._put(
                "X",
                f"{event.kind}{8 * event.width} {register or hex(event.position)}",
                time_ns=event.time_ns - event.duration_ns,
                duration_ns=event.duration_ns,
                track=self._track(label, event.thread),
                args=args,
            )
            if register and not fields and event.kind == "write" and event.value is not None:
                self._counter(event.time_ns, f"{label}.{register}", event.value)

    def note(self, event: DmaEvent | MemoryEvent | IrqEvent | LifeEvent) -> None:
        """Write what is no access."""
        with self.lock:
            if self._is_full():
                return
            match event:
                case DmaEvent() | MemoryEvent():
                    track = "DMA"
                case IrqEvent():
                    track = "interrupts"
                case LifeEvent():
                    track = "device"
            self._put(
                "i", str(event), time_ns=event.time_ns, track=self._track(track, 0), scope="t"
            )
            if isinstance(event, DmaEvent):
                self._mapped += event.size if event.kind == "map" else -event.size
                self._counter(event.time_ns, "mapped DMA bytes", self._mapped)
            elif isinstance(event, IrqEvent) and event.kind == "irq":
                vector = f"{event.irq}[{event.vector}]"
                self._irqs[vector] += event.count
                self._counter(event.time_ns, f"interrupts {vector}", self._irqs[vector])

    def name_registers(self, index: int, names: RegisterNames) -> None:
        """Use these names from now on."""
        with self.lock:
            known = self._names.get(index)
            self._names[index] = names if known is None else known.joined(names)

    def write(self, event: Event) -> None:
        """Write an event of whatever kind, such as one that was read from a file."""
        if isinstance(event, AccessEvent):
            self(event)
        else:
            self.note(event)

    def _is_full(self) -> bool:
        if self._file is None:
            return True
        if self._limit is not None and self.written >= self._limit:
            self.lost += 1
            return True
        self.written += 1
        return False

    def _track(self, label: str, thread: int) -> int:
        """Return the number of a track, which is named when it is first used."""
        key = label, thread
        if key not in self._tracks:
            number = self._tracks[key] = len(self._tracks) + 1
            name = f"{label} (thread {thread})" if thread else label
            self._put("M", "thread_name", track=number, args={"name": name})
            self._put("M", "thread_sort_index", track=number, args={"sort_index": number})
        return self._tracks[key]

    def _counter(self, time_ns: int, name: str, value: int) -> None:
        self._put("C", name, time_ns=time_ns, args={"value": value})

    def _put(
        self,
        phase: str,
        name: str,
        *,
        time_ns: int = 0,
        duration_ns: int | None = None,
        track: int = 0,
        scope: str | None = None,
        args: dict[str, object] | None = None,
    ) -> None:
        out: dict[str, object] = {"ph": phase, "name": name, "pid": _PROCESS, "tid": track}
        out["ts"] = time_ns / 1000
        if duration_ns is not None:
            out["dur"] = duration_ns / 1000
        if scope is not None:
            out["s"] = scope
        if args is not None:
            out["args"] = args
        assert self._file is not None
        self._file.write(("" if self._is_first else ",\n") + json.dumps(out))
        self._is_first = False

    def end(self) -> None:
        """Finish the file."""
        self.close()

    def close(self) -> None:
        """Finish the file; closing twice is fine."""
        with self.lock:
            if self._file is None:
                return
            if self.lost:
                self._put("M", "lost_events", args={"count": self.lost})
            file, self._file = self._file, None
            file.write("\n]\n")
            file.close()
