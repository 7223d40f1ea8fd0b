"""The ``vfio:`` backend: real devices through the kernel's VFIO, without a kernel driver."""

from __future__ import annotations

from pymmio.backend.vfio.opening import Interface, open

__all__ = ["Interface", "open"]
