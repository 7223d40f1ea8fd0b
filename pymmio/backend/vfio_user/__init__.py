"""Devices that another process serves: the vfio-user protocol, client and server."""
