"""What devices were before they were bound: one small file a device, and a lock for each.

A record is written before the first change and goes away when the device was given back, so it
tells after a crash what is still to be done.  It holds for one boot of the machine: then the
kernel gives devices to their drivers by itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import monotonic

from pymmio.backend.vfio.bind.machine import Machine
from pymmio.errors import DeviceBusy, PermissionRefused, Unsupported, UriError
from pymmio.pci.address import PciAddress

__all__ = ["Ledger", "Record"]

_LOCK_TIMEOUT_S = 10.0
_LOCK_POLL_S = 0.02
_DRIVER = re.compile(r"(?!\.\.?$)[^/\x00-\x1f\x7f]+")  # one name, no path, one line


@dataclass(frozen=True, slots=True)
class Record:
    """What a device was before: its driver, that driver's module, and its driver_override."""

    address: str
    vendor_id: int
    device_id: int
    former_driver: str | None
    former_module: str | None
    former_override: str
    boot_id: str

    def __post_init__(self) -> None:
        """Refuse what would be no name of a driver.  Raises ValueError, TypeError."""
        PciAddress.parse(self.address)
        for name in ("vendor_id", "device_id"):
            if not isinstance(getattr(self, name), int):
                raise TypeError(f"{name} is no number")
        if not isinstance(self.boot_id, str):
            raise TypeError("boot_id is no text")
        for text in (self.former_driver, self.former_module, self.former_override or None):
            if text is not None and not _DRIVER.fullmatch(text):
                raise ValueError(f"{text!r} is no name of a driver")

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read the text of the file.  Raises ValueError or TypeError."""
        values = json.loads(text)
        if not isinstance(values, dict) or set(values) != {field.name for field in fields(cls)}:
            raise ValueError("it has other keys than a record has")
        return cls(**values)


class Ledger:
    """The records of a machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._boot_id = machine.boot_id()

    @property
    def boot_id(self) -> str:
        """Return the boot that new records are for."""
        return self._boot_id

    def find(self, address: PciAddress) -> Record | None:
        """Return the record of a device; None without one of this boot.

        Raises Unsupported where it cannot be understood.
        """
        for place in self._readable():
            path = place / f"{address}.json"
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise PermissionRefused(
                    f"the record {path} cannot be read: {error.strerror}", hint="Run it as root"
                ) from error
            record = self._understood(path, text, address)
            if record.boot_id == self._boot_id:
                return record
        return None

    def addresses(self) -> tuple[PciAddress, ...]:
        """Return the devices that there are records of this boot for, damaged ones too."""
        found = set()
        for place in self._readable():
            for path in place.glob("*.json"):
                try:
                    address = PciAddress.parse(path.stem)
                except UriError:
                    continue
                try:
                    is_ours = self.find(address) is not None
                except (Unsupported, PermissionRefused):
                    is_ours = True
                if is_ours:
                    found.add(address)
        return tuple(sorted(found))

    def keep(self, record: Record) -> None:
        """Write a record, whole or not at all, and see it to the disk.

        Raises PermissionRefused where nothing may be written.
        """
        place = self._writable()
        path = place / f"{record.address}.json"
        fresh = place / f".{record.address}.{os.getpid()}.new"
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
            with open(fd, "w", encoding="utf-8") as file:
                file.write(record.to_json())
                file.flush()
                os.fsync(fd)
            os.rename(fresh, path)
            _sync_directory(place)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise PermissionRefused(
                f"the record of what {record.address} was cannot be kept in {place}: "
                f"{error.strerror}",
                hint="Nothing was changed. Make room there, or run it as root",
            ) from error

    def forget(self, address: PciAddress) -> None:
        """Remove the record of a device, if there is one.  Raises PermissionRefused."""
        for place in self._readable():
            path = place / f"{address}.json"
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise PermissionRefused(
                    f"the record {path} cannot be removed: {error.strerror}",
                    hint="Remove it as root; it is of no more use",
                ) from error

    @contextmanager
    def locked(self, addresses: tuple[PciAddress, ...]) -> Iterator[None]:
        """Keep other programs from changing these devices meanwhile.

        The lock ends with the process that holds it, so none is ever stale.  Raises DeviceBusy
        naming that process after 10 s.
        """
        place = self._writable()
        held: list[int] = []
        try:
            for address in sorted(set(addresses)):  # always in the same order: no deadlock
                held.append(_lock(place / f"{address}.lock", address))
            yield
        finally:
            for fd in reversed(held):
                os.close(fd)

    def _understood(self, path: Path, text: str, address: PciAddress) -> Record:
        try:
            record = Record.from_json(text)
            if PciAddress.parse(record.address) != address:
                raise ValueError(f"it is about {record.address}")
        except (ValueError, TypeError) as error:
            raise Unsupported(
                f"the record {path} of what {address} was is damaged: {error}",
                hint=f"`pymmio unbind {address}` lets the kernel choose its driver instead",
            ) from error
        return record

    def _readable(self) -> list[Path]:
        return [place for place in self._machine.state_directories() if _is_trusted(place)]

    def _writable(self) -> Path:
        places = self._machine.state_directories()
        problem = ""
        for place in places:
            try:
                place.mkdir(mode=0o755, parents=True, exist_ok=True)
            except OSError as error:
                problem = f"{place}: {error.strerror}"
                continue
            if _is_trusted(place) and os.access(place, os.W_OK, effective_ids=True):
                return place
            problem = f"{place} belongs to, or may be written by, somebody else"
        raise PermissionRefused(
            f"there is no place to remember what devices were ({problem})",
            hint="Run it as root; its place is /run/pymmio",
        )


def _is_trusted(place: Path) -> bool:
    """Whether nobody but root and ourselves can have put records there."""
    try:
        status = place.stat()
    except OSError:
        return False
    return status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o022


def _lock(path: Path, address: PciAddress) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        deadline = monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
                    raise DeviceBusy(
                        f"another program (process {holder}) is changing the driver of {address}",
                        hint="Wait for it, or look at what it waits for",
                    ) from None
            select.select([], [], [], _LOCK_POLL_S)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _sync_directory(place: Path) -> None:
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
