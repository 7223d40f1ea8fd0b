"""What the tests of the VFIO backend share."""

from __future__ import annotations

from pymmio.backend.vfio.device import VfioDevice
from pymmio.backend.vfio.opening import Interface, open_function
from pymmio.pci.address import PciAddress
from tests.unit.backend.vfio.fake_kernel import ADDRESS, FakeKernel


def open_fake(kernel: FakeKernel, interface: Interface = Interface.AUTO) -> VfioDevice:
    return open_function(kernel, PciAddress.parse(ADDRESS), interface)
