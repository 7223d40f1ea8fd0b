"""The programs around it: Python and libraries, names of devices, udev, what is plugged in."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points
from importlib.metadata import version as version_of

from pymmio import __version__
from pymmio.backend import schemes
from pymmio.doctor.finding import Finding, State
from pymmio.doctor.host import Host
from pymmio.pci.ids import PCI_IDS_PATHS
from pymmio.policy import ALLOW_FILE_VARIABLE

__all__ = ["TOPIC", "allow_file", "names", "plug_ins", "udev", "versions"]

TOPIC = "software"
_LIBRARIES = ("cffi", "click", "pyudev", "rich")
_GROUPS = {"drivers": "pymmio.drivers", "models": "pymmio.models", "backends": "pymmio.backends"}
_HWDB = tuple(f"{folder}/hwdb.bin" for folder in ("/etc/udev", "/usr/lib/udev", "/lib/udev"))
_UDEV_RUNS = "/run/udev/control"
_LIBUDEV = "libudev.so.1"


def versions(host: Host) -> Iterator[Finding]:
    """Yield the versions of Python, pymmio and the libraries that it needs."""
    seen = f"{platform.python_implementation()} {platform.python_version()}"
    yield Finding(TOPIC, "Python", State.OK, seen)
    yield Finding(TOPIC, "pymmio", State.OK, __version__)
    there, absent = [], []
    for name in _LIBRARIES:
        try:
            there.append(f"{name} {version_of(name)}")
        except PackageNotFoundError:
            absent.append(name)
    if absent:
        step = f"pip install {' '.join(absent)}"
        seen = f"not installed: {', '.join(absent)}"
        yield Finding(TOPIC, "libraries", State.MISSING, seen, step)
    else:
        yield Finding(TOPIC, "libraries", State.OK, ", ".join(there))


def names(host: Host) -> Iterator[Finding]:
    """Yield where names of vendors and devices come from."""
    files = [str(path) for path in PCI_IDS_PATHS if host.exists(str(path))]
    files += [path for path in _HWDB if host.exists(path)]
    if files:
        yield Finding(TOPIC, "device names", State.OK, files[0])
    else:
        seen, step = "no pci.ids: devices are shown by number", "Install pci.ids (or hwdata)"
        yield Finding(TOPIC, "device names", State.INFO, seen, step)


def udev(host: Host) -> Iterator[Finding]:
    """Yield whether udev runs, which gives nodes to users and tells of hot-plug."""
    if not host.exists(_UDEV_RUNS):
        seen = "does not run: rules give no node to a user"
        step = "chown the nodes by hand; pymmio list works without it"
        yield Finding(TOPIC, "udev", State.INFO, seen, step)
        return
    try:
        ctypes.CDLL(_LIBUDEV)
    except OSError:
        seen = f"runs, but {_LIBUDEV} is not installed: no hot-plug events"
        yield Finding(TOPIC, "udev", State.WARN, seen, "Install libudev1 (or systemd-libs)")
    else:
        yield Finding(TOPIC, "udev", State.OK, "runs")


def allow_file(host: Host) -> Iterator[Finding]:
    """Yield whether a policy limits which devices programs may open."""
    path = os.environ.get(ALLOW_FILE_VARIABLE)
    if not path:
        seen = f"none ({ALLOW_FILE_VARIABLE} is not set): every device may be opened"
        yield Finding(TOPIC, "allow file", State.INFO, seen)
        return
    try:
        lines = host.read_text(os.path.abspath(path)).splitlines()
    except OSError as error:
        yield Finding(
            TOPIC,
            "allow file",
            State.MISSING,
            f"{path} cannot be read, so no device may be opened: {error}",
            f"Make it readable, or unset {ALLOW_FILE_VARIABLE}",
            needed_for=("vfio",),
        )
        return
    patterns = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    seen = f"{path}: {len(patterns)} patterns, nothing else may be opened"
    yield Finding(TOPIC, "allow file", State.INFO, seen)


def plug_ins(host: Host) -> Iterator[Finding]:
    """Yield drivers, models and backends by name; each one that cannot be loaded by itself."""
    for kind, group in _GROUPS.items():
        loaded = list(schemes()) if kind == "backends" else []
        for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
            failure = _load(entry)
            if failure is None:
                loaded.append(entry.name)
                continue
            package = entry.dist.name if entry.dist else entry.value
            step = f"Mend or uninstall {package}; pymmio works without it"
            seen = f"{entry.value} cannot be loaded: {failure}"
            yield Finding(TOPIC, f"{kind}: {entry.name}", State.MISSING, seen, step)
            loaded = [name for name in loaded if name != entry.name]
        if loaded:
            yield Finding(TOPIC, kind, State.OK, ", ".join(dict.fromkeys(loaded)))
        else:
            step = "Install pymmio again: its own are registered then"
            yield Finding(TOPIC, kind, State.MISSING, "none are registered", step)


def _load(entry: EntryPoint) -> str | None:
    """Import what an entry point names; return why that failed, whatever it raised."""
    try:
        entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module of somebody else's may do anything, exit too
        return f"{type(error).__name__}: {error}"
    return None
