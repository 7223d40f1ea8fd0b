"""An NVMe controller model.

Follows NVM Express Base 1.4 (``version=2.0``: Base 2.0, NVM Command Set 1.0 and PCIe
Transport 1.0).  Where it differs from QEMU's controller: docs/nvme-model-vs-qemu.rst.
"""

from __future__ import annotations

from pymmio.models.nvme.controller import NvmeModel

__all__ = ["NvmeModel"]
