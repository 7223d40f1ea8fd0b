"""What a backend costs: one access, NVMe commands, and getting started; against ``sim`` each time.

The devices are the same where they can be: models in this process, the same models in a process
of their own, QEMU's in another.  All of them share the processors of the machine that it runs on.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pymmio
from pymmio.backend.qtest.binary import find_qemu
from pymmio.errors import PymmioError
from pymmio.testing import served
from pymmio_drivers.nvme import Controller

ROUNDS = 9
ACCESSES = 200
MAPPED_ACCESSES = 50_000
COMMANDS = 300
BASE = "sim"


@dataclass(frozen=True)
class Subject:
    """Something to be timed, and how many of what is counted it does."""

    run: Callable[[], object]
    count: int


def main() -> None:
    """Print the tables."""
    with ExitStack() as stack:
        uris = stack.enter_context(_uris())
        _accesses(uris)
        _nvme(uris)
        _starts(uris)


@contextmanager
def _uris() -> Iterator[dict[str, dict[str, str]]]:
    """Give the devices of each backend that is here."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = {
            BASE: {
                "edu": "sim:edu",
                "nvme": "sim:nvme?size=64M",
                "recorder": "sim:access-recorder",
            },
            "vfio-user": {
                "edu": stack.enter_context(served("edu")),
                "nvme": stack.enter_context(served("nvme", size="64M")),
                "recorder": stack.enter_context(served("access-recorder")),
            },
        }
        try:
            find_qemu(None)
        except PymmioError as error:
            print(f"qemu is left out: {error}")
        else:
            found["qemu"] = {
                "edu": "qemu:edu",
                "nvme": f"qemu:nvme,serial=x?drive={folder}/disk.img&size=64M",
            }
        yield found


def _accesses(uris: Mapping[str, Mapping[str, str]]) -> None:
    with ExitStack() as stack:

        def region(uri: str, index: int) -> pymmio.Region:
            return stack.enter_context(pymmio.open_device(uri)).region(index)

        def reads(bar: pymmio.Region, count: int, offset: int = 0) -> Subject:
            def run() -> None:
                read32 = bar.read32
                for _ in range(count):
                    read32(offset)

            return Subject(run, count)

        def writes(bar: pymmio.Region, count: int, offset: int) -> Subject:
            def run() -> None:
                write32 = bar.write32
                for _ in range(count):
                    write32(offset, 5)
                bar.read32(offset)  # all of them have arrived

            return Subject(run, count)

        subjects, posted = {}, {}
        for name, devices in uris.items():
            bar = region(devices["edu"], 0)
            subjects[name] = reads(bar, ACCESSES)
            posted[name] = writes(bar, ACCESSES, 0x04)
        for name, devices in uris.items():
            if "recorder" in devices:
                memory = region(devices["recorder"], 2)
                subjects[f"{name}, mapped"] = reads(memory, MAPPED_ACCESSES)
        _table("read of 4 bytes", "us", 1e6, subjects)
        _table("write of 4 bytes, in a row", "us", 1e6, posted)


def _nvme(uris: Mapping[str, Mapping[str, str]]) -> None:
    with ExitStack() as stack:
        single: dict[str, Subject] = {}
        deep: dict[str, Subject] = {}
        for name, devices in uris.items():
            ctrl = stack.enter_context(Controller.open(devices["nvme"]))
            ns = ctrl.namespaces[1]
            ns.write_bytes(bytes(1 << 20), lba=0)

            def measured(depth: int, ns: object = ns) -> Callable[[], object]:
                return lambda: ns.measure(  # type: ignore[attr-defined]
                    rw="randread", queue_depth=depth, count=COMMANDS, block_size=4096
                )

            single[name] = Subject(measured(1), COMMANDS)
            deep[name] = Subject(measured(32), COMMANDS)
        _table("NVMe read of 4 KiB, queue depth 1", "us", 1e6, single)
        _table("NVMe read of 4 KiB, queue depth 32", "us", 1e6, deep)


def _starts(uris: Mapping[str, Mapping[str, str]]) -> None:
    def opening(uri: str) -> Subject:
        return Subject(lambda: pymmio.open_device(uri).close(), 1)

    def starting() -> None:
        with served("edu") as uri:
            pymmio.open_device(uri).close()

    subjects = {name: opening(devices["edu"]) for name, devices in uris.items()}
    subjects["vfio-user, its server too"] = Subject(starting, 1)
    _table("opening and closing edu", "ms", 1e3, subjects)


def _table(title: str, unit: str, scale: float, subjects: Mapping[str, Subject]) -> None:
    """Time the subjects in turns, and print medians and ratios."""
    seen: dict[str, list[float]] = {name: [] for name in subjects}
    for subject in subjects.values():
        subject.run()  # warm
    for _ in range(ROUNDS):
        for name, subject in subjects.items():
            start = time.perf_counter()
            subject.run()
            seen[name].append((time.perf_counter() - start) / subject.count)
    medians = {name: statistics.median(times) for name, times in seen.items()}
    print(f"\n{title}  (median of {ROUNDS} interleaved rounds)")
    width = max(map(len, medians))
    for name, seconds in medians.items():
        ratio = seconds / medians[BASE]
        print(f"  {name:<{width}}  {seconds * scale:10.3f} {unit}  {ratio:8.3f} x {BASE}")


if __name__ == "__main__":
    main()
