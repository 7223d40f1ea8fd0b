"""Find a model by name and make it with its options."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, runtime_checkable

from pymmio.backend.model import DeviceModel
from pymmio.errors import DeviceNotFound, UriError
from pymmio.handle import DeviceHandle

__all__ = [
    "MODEL_GROUP",
    "BringsHandle",
    "make_model",
    "make_served_model",
    "model_names",
    "served_models",
]

MODEL_GROUP = "pymmio.models"


def model_names() -> list[str]:
    """Return the names of the models that are installed."""
    return sorted(_entries())


@runtime_checkable
class BringsHandle(Protocol):
    """A model that has to see more than a model does: it is its own handle.

    It is there for the process of its driver only.  (Its class is one, too, for isinstance.)
    """

    def open_handle(self, name: str) -> DeviceHandle:
        """Return the handle."""
        ...


def served_models() -> dict[str, EntryPoint]:
    """Return the models that other processes can be given; not what cannot be imported."""
    found = {}
    for name, entry in sorted(_entries().items()):
        with suppress(Exception):
            if not isinstance(entry.load(), BringsHandle):
                found[name] = entry
    return found


def make_served_model(name: str, options: Mapping[str, str], *, asked: str) -> DeviceModel:
    """Make a model for other processes, as :func:`make_model` does for this one."""
    entry = _entries().get(name)
    if entry is None or isinstance(entry.load(), BringsHandle):
        raise DeviceNotFound(
            f"{asked}: there is no model {name!r} that can be served",
            hint=f"Models are {', '.join(served_models()) or 'none (is pymmio installed?)'}",
        )
    return make_model(name, options, asked=asked)


def make_model(name: str, options: Mapping[str, str], *, asked: str) -> DeviceModel:
    """Make the model ``name`` with its options; ``asked`` begins the messages.

    Raises DeviceNotFound for an unknown model, UriError for options that it does not take.
    """
    entries = _entries()
    if name not in entries:
        raise DeviceNotFound(
            f"{asked}: there is no device model {name!r}",
            hint=f"Models are {', '.join(sorted(entries)) or 'none (is pymmio installed?)'}",
        )
    make: type[DeviceModel] = entries[name].load()
    try:
        return make(**options)
    except TypeError as error:
        raise UriError(f"{asked}: {error}", hint=f"See the options of {make.__name__}") from error


def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=MODEL_GROUP)}
