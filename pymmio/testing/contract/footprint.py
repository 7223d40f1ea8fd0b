"""What a process holds: descriptors, mappings of devices and shared memory, threads, children."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Footprint", "leaves_nothing"]

_ENDING_S = 5.0  # a thread or process that was told to end
_CLOSING_S = 0.5  # what another thread closes that has ended
_HELD = ("/memfd:", "anon_inode:", "/dev/", "/sys/")


@dataclass(frozen=True)
class Footprint:
    """The footprint of this process at one moment."""

    descriptors: Counter[str]
    mappings: Counter[str]
    threads: Counter[str]
    children: frozenset[int]

    @classmethod
    def now(cls) -> Footprint:
        """Look at /proc."""
        return cls(
            Counter(descriptor_names().values()),
            Counter(_mapped_files()),
            Counter(thread.name for thread in threading.enumerate()),
            frozenset(_children()),
        )

    def grown(self, before: Footprint) -> list[str]:
        """Return what was not there before."""
        found = [f"descriptor of {name}" for name in self.descriptors - before.descriptors]
        found += [f"mapping of {name}" for name in self.mappings - before.mappings]
        found += [f"thread {name}" for name in self.threads - before.threads]
        return found + [f"process {pid}" for pid in self.children - before.children]


@contextmanager
def leaves_nothing(what: str = "it") -> Iterator[None]:
    """Fail if the block leaves anything behind; threads and processes may take a moment to end.

    Nothing is said about a block that raises.
    """
    before = Footprint.now()
    yield
    start = time.monotonic()
    while left := Footprint.now().grown(before):
        is_ending = any(name.startswith(("thread", "process")) for name in left)
        limit_s = _ENDING_S if is_ending else _CLOSING_S
        is_late = time.monotonic() > start + limit_s
        assert not is_late, f"{what} left behind: {', '.join(sorted(left))}"
        time.sleep(0.005)


def descriptor_names() -> dict[int, str]:
    """Return what each open descriptor refers to."""
    names: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            names[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one that the folder was read by
    # Sockets and pipes are known by kind: their numbers differ each time.
    return {fd: name.split(":[")[0] for fd, name in names.items()}


def _mapped_files() -> Iterator[str]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        name = line.partition(" ")[2].split(None, 4)[4:]
        if name and name[0].startswith(_HELD):
            yield name[0]


def _children() -> Iterator[int]:
    own = os.getpid()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended
        if int(fields[1]) == own and fields[0] != "Z":
            yield int(folder.name)
