"""The ways to reach a device, chosen by the scheme of the URI.

Backends never import each other.  Somebody else's backend registers a function
``open(uri: DeviceUri) -> DeviceHandle`` in the entry point group ``pymmio.backends``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import entry_points

from pymmio.errors import UriError
from pymmio.handle import DeviceHandle
from pymmio.uri import DeviceUri

__all__ = ["open_handle", "schemes"]

_BUILT_IN = {"sim": "pymmio.backend.sim", "vfio": "pymmio.backend.vfio"}


def schemes() -> list[str]:
    """Return the schemes that can be opened."""
    return sorted({*_BUILT_IN, *(e.name for e in entry_points(group="pymmio.backends"))})


def open_handle(uri: DeviceUri) -> DeviceHandle:
    """Open the device with its backend.  Raises UriError for an unknown scheme."""
    opener: Callable[[DeviceUri], DeviceHandle]
    if uri.scheme in _BUILT_IN:
        opener = importlib.import_module(_BUILT_IN[uri.scheme]).open
        return opener(uri)
    for entry in entry_points(group="pymmio.backends", name=uri.scheme):
        opener = entry.load()
        return opener(uri)
    raise UriError(
        f"{str(uri)!r}: there is no backend {uri.scheme!r}",
        hint=f"Backends are {', '.join(schemes())}",
    )
