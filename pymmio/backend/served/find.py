"""Find a model by name and make it with its options."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from pymmio.backend.model import DeviceModel
from pymmio.errors import DeviceNotFound, UriError

__all__ = ["MODEL_GROUP", "can_be_served", "make_model", "model_names"]

MODEL_GROUP = "pymmio.models"


def model_names() -> list[str]:
    """Return the names of the models that are installed."""
    return sorted({entry.name for entry in entry_points(group=MODEL_GROUP)})


def can_be_served(name: str) -> bool:
    """Whether there is such a model, and other processes can be given it.

    One that opens by itself is for the process of its driver only.
    """
    found = entry_points(group=MODEL_GROUP, name=name)
    return any(not hasattr(entry.load(), "open_handle") for entry in found)


def make_model(name: str, options: Mapping[str, str], *, asked: str) -> DeviceModel:
    """Make the model ``name`` with its options; ``asked`` begins the messages.

    Raises DeviceNotFound for an unknown model, UriError for options that it does not take.
    """
    entries = {entry.name: entry for entry in entry_points(group=MODEL_GROUP)}
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
