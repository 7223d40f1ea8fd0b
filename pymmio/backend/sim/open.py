"""Find a model by name and put it behind a handle."""

from __future__ import annotations

from pymmio.backend.served import BringsHandle, make_model
from pymmio.backend.sim.device import SimHandle
from pymmio.errors import Unsupported
from pymmio.handle import DeviceHandle
from pymmio.uri import DeviceUri

__all__ = ["open"]


def open(uri: DeviceUri, *, share_dma_with: DeviceHandle | None = None) -> DeviceHandle:
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
    model = make_model(uri.target, uri.options, asked=str(uri))
    if isinstance(model, BringsHandle):
        if share_dma_with is not None:
            raise Unsupported(f"{uri} shares memory with no other device")
        return model.open_handle(f"sim:{uri.target}")
    iommu = None if share_dma_with is None else share_dma_with.dma
    return SimHandle(model, name=f"sim:{uri.target}", iommu=iommu)
