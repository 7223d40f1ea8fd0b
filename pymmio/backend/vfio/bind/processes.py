"""Which processes have what open: one pass over /proc."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pymmio.backend.vfio.bind.machine import Machine

__all__ = ["MountTable", "OpenFile", "OpenFiles", "find_open", "mapping_processes", "mount_tables"]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A process that has a file open; ``what`` is what the search called the file."""

    pid: int
    process: str
    what: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.process})"


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """What a search found, and how many processes did not let themselves be looked into."""

    found: tuple[OpenFile, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class MountTable:
    """The text of a mountinfo, and a process that sees it so; ``pid`` is 0 for ourselves."""

    pid: int
    text: str


def find_open(machine: Machine, match: Callable[[str], str | None]) -> OpenFiles:
    """Look at every descriptor of every process.

    ``match`` gets the path that it points to and returns what it is, or None.
    """
    found: dict[tuple[int, str], OpenFile] = {}
    hidden = 0
    for pid in _processes(machine):
        try:
            numbers = machine.list_directory(f"/proc/{pid}/fd")
        except PermissionError:
            hidden += 1
            continue
        except OSError:  # it ended
            continue
        for number in numbers:
            try:
                path = machine.read_link(f"/proc/{pid}/fd/{number}")
            except OSError:
                continue
            what = match(path)
            if what is not None:
                found[pid, what] = OpenFile(pid, _name(machine, pid), what)
    return OpenFiles(tuple(found.values()), hidden)


def mapping_processes(machine: Machine, name: str) -> tuple[OpenFile, ...]:
    """Return the processes that have mapped a file whose name contains ``name``."""
    found = []
    for pid in _processes(machine):
        maps = machine.text_or_none(f"/proc/{pid}/maps")
        if maps is not None and name in maps:
            found.append(OpenFile(pid, _name(machine, pid), name))
    return tuple(found)


def mount_tables(machine: Machine) -> tuple[MountTable, ...]:
    """Return our own mount table first, then each other one: namespaces and changed roots."""
    own = machine.text_or_none("/proc/self/mountinfo")
    tables = [] if own is None else [MountTable(0, own)]
    seen = {_view(machine, "self")}
    for pid in _processes(machine):
        view = _view(machine, str(pid))
        if view in seen or view[0] is None:
            continue
        seen.add(view)
        text = machine.text_or_none(f"/proc/{pid}/mountinfo")
        if text:
            tables.append(MountTable(pid, text))
    return tuple(tables)


def _processes(machine: Machine) -> Iterator[int]:
    for name in machine.listed("/proc"):
        if name.isascii() and name.isdigit():
            yield int(name)


def _name(machine: Machine, pid: int) -> str:
    return machine.text_or_none(f"/proc/{pid}/comm") or "?"


def _view(machine: Machine, pid: str) -> tuple[str | None, str | None]:
    """Return what decides which mounts a process sees: its namespace and its root."""
    links: list[str | None] = []
    for name in ("ns/mnt", "root"):
        try:
            links.append(machine.read_link(f"/proc/{pid}/{name}"))
        except OSError:
            links.append(None)
    return links[0], links[1]
