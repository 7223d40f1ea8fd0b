"""What a trace costs: nothing while it is off, and so much with each sink.

"off" is an access through a device that was opened without ``trace=``; "bare" is the same kind
of region without a device around it.  The ratios are of one run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pymmio
from benchmarks.timing import ROUNDS, Subject, interleaved, table
from pymmio.mmio import AccessRule, MappedRegion, Mapping
from pymmio.trace import EventRing, JsonLinesSink, PerfettoSink, RecordingSink, RingSink, Sink
from pymmio_drivers.nvme import Controller

MAPPED = "sim:access-recorder?size=4096"
CALLED = "sim:edu"
CALLS = 2_000
COMMANDS = 200
LIMIT = 10_000  #: what files keep, so that a long run fills no disk


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        _accesses("read32 of mapped memory", MAPPED, 2, Path(folder), with_bare=True)
        _accesses("read32 by message to a model", CALLED, 0, Path(folder), with_bare=False)
        _commands(Path(folder))


def _sinks(folder: Path) -> dict[str, Callable[[], Sink | None]]:
    return {
        "off": lambda: None,
        "off again": lambda: None,
        "function": lambda: _ignore,
        "RingSink": RingSink,
        "EventRing": EventRing,
        "JsonLinesSink": lambda: JsonLinesSink(folder / "lines.jsonl"),
        "... full": lambda: JsonLinesSink(folder / "full.jsonl", limit=LIMIT),
        "PerfettoSink": lambda: PerfettoSink(folder / "perfetto.json"),
        "RecordingSink": lambda: RecordingSink(folder / "session.jsonl"),
    }


def _ignore(event: object) -> None:
    pass


@contextmanager
def _devices(uri: str, folder: Path) -> Iterator[dict[str, pymmio.Device]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(pymmio.open_device(uri, trace=make()))
            for name, make in _sinks(folder).items()
        }


def _accesses(title: str, uri: str, index: int, folder: Path, *, with_bare: bool) -> None:
    with ExitStack() as stack:
        devices = stack.enter_context(_devices(uri, folder))
        subjects = {
            name: Subject("bar.read32(8)", {"bar": device.region(index)})
            for name, device in devices.items()
        }
        if with_bare:
            bare = Subject("bar.read32(8)", {"bar": stack.enter_context(_bare())})
            without = {"bare": bare, **{n: s for n, s in subjects.items() if "off" in n}}
            table(f"{title}, without a trace", interleaved(without, calls=100 * CALLS), "bare")
        table(title, interleaved(subjects, calls=CALLS), "off")


@contextmanager
def _bare() -> Iterator[MappedRegion]:
    """Map memory as a BAR is mapped, with no device around it."""
    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), 4096)
        mapping = Mapping.of_file(file.fileno(), 0, 4096, "BAR", writable=True)
        with MappedRegion(mapping, rule=AccessRule(ram_like=True)) as region:
            yield region


def _commands(folder: Path) -> None:
    """Time reads of 4 KiB, one at a time, by interrupt."""
    with ExitStack() as stack:
        devices = stack.enter_context(_devices("sim:nvme?size=16M", folder))
        namespaces = {}
        for name, device in devices.items():
            controller = stack.enter_context(Controller.open(device))
            namespaces[name] = controller.namespaces[1], controller.alloc(4096)
        seen: dict[str, list[float]] = {name: [] for name in namespaces}
        for _ in range(ROUNDS):
            for name, (namespace, buffer) in namespaces.items():
                start = time.perf_counter()
                for lba in range(COMMANDS):
                    namespace.read(buffer, lba=lba)
                seen[name].append((time.perf_counter() - start) / COMMANDS)
    times = {name: sorted(rounds)[ROUNDS // 2] for name, rounds in seen.items()}
    table("NVMe read of 4 KiB, one at a time, model in this process", times, "off")


if __name__ == "__main__":
    main()
