"""Open ``vfio-user:/run/device.sock``."""

from __future__ import annotations

from pymmio.backend.vfio_user.device import VfioUserDevice
from pymmio.backend.vfio_user.options import Options
from pymmio.uri import DeviceUri

__all__ = ["open"]


def open(uri: DeviceUri) -> VfioUserDevice:
    """Open what is served at the socket that the URI names.

    Options are ``timeout`` in seconds for each request (5), ``twin=off`` (one socket only),
    ``ioeventfd=off`` (messages for all writes), ``dma_unit=2M`` (mappings in multiples of it).

    Raises UriError, DeviceNotFound where nobody listens, DeviceBusy where the server does not
    answer, PermissionRefused, Unsupported, ProtocolError and DeviceGone; whatever was opened is
    closed again.
    """
    return VfioUserDevice(uri.target, Options.parse(uri))
