"""The ways to reach a device, chosen by the scheme of the URI.

Backends never import each other.  Somebody else's backend registers a function
``open(uri: DeviceUri) -> DeviceHandle`` in the entry point group ``pymmio.backends``.  One that
can put several devices into one address space takes ``share_dma_with: DeviceHandle | None`` too.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from importlib.metadata import entry_points

from pymmio.errors import Unsupported, UriError
from pymmio.handle import DeviceHandle
from pymmio.uri import DeviceUri

__all__ = ["open_handle", "schemes"]

_BUILT_IN = {
    "qemu": "pymmio.backend.qtest",
    "sim": "pymmio.backend.sim",
    "sysfs": "pymmio.backend.sysfs",
    "vfio": "pymmio.backend.vfio",
    "vfio-user": "pymmio.backend.vfio_user",
}


def schemes() -> list[str]:
    """Return the schemes that can be opened."""
    return sorted({*_BUILT_IN, *(e.name for e in entry_points(group="pymmio.backends"))})


def open_handle(uri: DeviceUri, *, share_dma_with: DeviceHandle | None = None) -> DeviceHandle:
    """Open the device with its backend.  Raises UriError for an unknown scheme.

    With ``share_dma_with`` the handle's ``dma`` is the one of that handle: an address space of
    several devices.  Raises Unsupported where the backend, or these two devices, cannot have one.
    """
    opener = _opener(uri)
    if share_dma_with is None:
        return opener(uri)
    if "share_dma_with" not in inspect.signature(opener).parameters:
        raise Unsupported(
            f"{uri}: the backend {uri.scheme!r} cannot put two devices into one address space",
            hint="Open it without share_dma_with, and give it buffers of its own",
        )
    return opener(uri, share_dma_with=share_dma_with)


def _opener(uri: DeviceUri) -> Callable[..., DeviceHandle]:
    opener: Callable[..., DeviceHandle]
    if uri.scheme in _BUILT_IN:
        opener = importlib.import_module(_BUILT_IN[uri.scheme]).open
        return opener
    for entry in entry_points(group="pymmio.backends", name=uri.scheme):
        opener = entry.load()
        return opener
    raise UriError(
        f"{str(uri)!r}: there is no backend {uri.scheme!r}",
        hint=f"Backends are {', '.join(schemes())}",
    )
