"""A vfio-user server: any device model on a UNIX socket, for programs that others wrote."""

from pymmio.backend.vfio_user.server.server import Server, serve

__all__ = ["Server", "serve"]
