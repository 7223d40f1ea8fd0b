"""Devices that another process serves: the vfio-user protocol, client and server."""

from pymmio.backend.vfio_user.opening import open

__all__ = ["open"]
