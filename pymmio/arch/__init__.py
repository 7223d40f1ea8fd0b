"""Facts and accessors of the running machine.

The C core is one shared object: ``pymmio.arch._core`` (cffi) and, in the same file, the C
types of ``pymmio.arch._types``.  One object means one exception table.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import platform
import signal
import sys
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pymmio.arch.base import Arch, Barrier
from pymmio.errors import Unsupported
from pymmio.handle import Access

if TYPE_CHECKING:
    from pymmio.arch._core import ffi, lib
    from pymmio.arch._types import BufferBase, make_region_type
else:
    from pymmio.arch._core import ffi, lib

__all__ = [
    "WAYS",
    "Arch",
    "Barrier",
    "BufferBase",
    "current",
    "fault_handler_state",
    "ffi",
    "install_fault_handler",
    "lib",
    "make_region_type",
    "pci_ways",
    "region_types",
]

_TYPES = "pymmio.arch._types"


def _load_types() -> ModuleType:
    """Load the second module of the core's file (both register their own init function)."""
    core_file = sys.modules["pymmio.arch._core"].__file__
    assert core_file is not None
    loader = importlib.machinery.ExtensionFileLoader(_TYPES, core_file)
    spec = importlib.util.spec_from_file_location(_TYPES, core_file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[_TYPES] = module
    return module


if not TYPE_CHECKING:
    _types: Any = _load_types()
    BufferBase = _types.BufferBase
    make_region_type = _types.make_region_type


def region_types() -> Any:
    """Return the module of the C types."""
    return sys.modules[_TYPES]


@cache
def current() -> Arch:
    """Return the facts of the architecture that this process runs on."""
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(
        platform.machine().lower(), platform.machine()
    )
    try:
        module = importlib.import_module(f"pymmio.arch.{machine}")
    except ModuleNotFoundError as error:
        raise Unsupported(
            f"pymmio has no accessors for {machine}",
            hint="Add pymmio/arch/<arch>/io.h and its facts; see pymmio/arch/io.h",
        ) from error
    arch: Arch = module.ARCH
    return arch


WAYS: dict[Access, int] = {
    Access.MAPPED: lib.PM_WAY_LOAD,
    Access.MIO: lib.PM_WAY_MIO,
    Access.SYSCALL: lib.PM_WAY_SYSCALL,
}
"""The ways of a mapping, and what the core calls them; best first where there are several."""


def pci_ways() -> tuple[Access, ...]:
    """Return how this machine reaches mapped PCI memory, best first.

    (MAPPED,) nearly everywhere.  On s390x SYSCALL, and before it MIO where the processor and the
    kernel offer the instructions (AT_HWCAP).
    """
    offered = lib.pm_pci_ways()
    return tuple(access for access, way in WAYS.items() if offered & (1 << way))


def install_fault_handler() -> None:
    """Make faults of device accesses exceptions; put the handler on top if somebody took it.

    Side effect: handlers for SIGBUS and SIGSEGV (SIGILL on s390x), which hand everything
    that is not a device access on to the handler that was there before.
    """
    error = lib.pm_fault_install()
    if error:
        raise OSError(error, "the handler for device faults could not be installed")


def fault_handler_state() -> dict[str, str]:
    """Return who handles the signals of device faults: "none", "pymmio" or "other"."""
    names = {
        lib.PM_HANDLER_NONE: "none",
        lib.PM_HANDLER_OURS: "pymmio",
        lib.PM_HANDLER_OTHER: "other",
    }
    signals = [signal.SIGBUS, signal.SIGSEGV]
    if current().mmio == "mio":
        signals.append(signal.SIGILL)
    return {s.name: names[lib.pm_fault_state(s)] for s in signals}
