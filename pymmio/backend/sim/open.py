"""Find a model by name and put it behind a handle."""

from __future__ import annotations

from importlib.metadata import entry_points

from pymmio.backend.model import DeviceModel
from pymmio.backend.sim.device import SimHandle
from pymmio.errors import DeviceNotFound, UriError
from pymmio.uri import DeviceUri

__all__ = ["MODEL_GROUP", "open"]

MODEL_GROUP = "pymmio.models"


def open(uri: DeviceUri) -> SimHandle:
    """Make the model that the URI names, with its options, and serve it.

    Raises DeviceNotFound for an unknown model, UriError for options that it does not take.
    """
    entries = {entry.name: entry for entry in entry_points(group=MODEL_GROUP)}
    if uri.target not in entries:
        raise DeviceNotFound(
            f"{uri}: there is no device model {uri.target!r}",
            hint=f"Models are {', '.join(sorted(entries)) or 'none (is pymmio installed?)'}",
        )
    make: type[DeviceModel] = entries[uri.target].load()
    try:
        model = make(**uri.options)
    except TypeError as error:
        raise UriError(f"{uri}: {error}", hint=f"See the options of {make.__name__}") from error
    return SimHandle(model, name=f"sim:{uri.target}")
