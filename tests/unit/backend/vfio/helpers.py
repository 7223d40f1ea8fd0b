"""What the tests of the VFIO backend share."""

from __future__ import annotations

from pymmio.backend.vfio.device import VfioDevice
from pymmio.backend.vfio.opening import Interface, open_function
from pymmio.backend.vfio.vf_token import VfToken
from pymmio.pci.address import PciAddress
from tests.unit.backend.vfio.fake_kernel import ADDRESS, SECOND, FakeKernel


def open_fake(
    kernel: FakeKernel, interface: Interface = Interface.AUTO, *, token: VfToken | None = None
) -> VfioDevice:
    return open_function(kernel, PciAddress.parse(ADDRESS), interface, token=token)


def open_second(
    kernel: FakeKernel, peer: VfioDevice, interface: Interface = Interface.AUTO
) -> VfioDevice:
    return open_function(kernel, PciAddress.parse(SECOND), interface, peer=peer)
