"""Find a model by name and put it behind a handle."""

from __future__ import annotations

from importlib.metadata import entry_points

from pymmio.backend.model import DeviceModel
from pymmio.backend.sim.device import SimHandle
from pymmio.errors import DeviceNotFound, Unsupported, UriError
from pymmio.handle import DeviceHandle
from pymmio.uri import DeviceUri

__all__ = ["MODEL_GROUP", "open"]

MODEL_GROUP = "pymmio.models"


def open(uri: DeviceUri, *, share_dma_with: DeviceHandle | None = None) -> SimHandle:
    """Make the model that the URI names, with its options, and serve it.

    With ``share_dma_with``, another model, both are behind one IOMMU.  Raises DeviceNotFound for
    an unknown model, UriError for options that it does not take, Unsupported for a device that
    is no model.
    """
    if share_dma_with is not None and not isinstance(share_dma_with, SimHandle):
        raise Unsupported(
            f"{uri} and {share_dma_with.name} cannot share memory: one is a model in this process",
            hint="Devices of one backend can share an address space",
        )
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
    iommu = None if share_dma_with is None else share_dma_with.dma
    return SimHandle(model, name=f"sim:{uri.target}", iommu=iommu)
