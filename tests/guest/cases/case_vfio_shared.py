"""An nvme and an edu in one address space: what one of them wrote to memory the other one reads."""

from __future__ import annotations

import pymmio
from pymmio.backend import vfio
from pymmio.errors import DeviceBusy, Unsupported
from pymmio.uri import DeviceUri
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from tests.guest.case import case
from tests.guest.cases.vfio_common import open_descriptors, open_handle, refuses
from tests.guest.inside import EDU, NVME, bound_to_vfio
from tests.guest.interfaces import by_interface, uri_of

SIZE = 512


@by_interface()
@case(timeout_s=60)
def case_edu_reads_what_nvme_read_from_its_disk() -> None:
    data = bytes(range(256)) * (SIZE // 256)
    with bound_to_vfio(EDU) as edu_function, bound_to_vfio(NVME) as nvme_function:
        before = open_descriptors()
        with Edu.open(uri_of(edu_function.address)) as edu:
            nvme = pymmio.open_device(uri_of(nvme_function.address), share_dma_with=edu.device)
            with Controller.open(nvme) as controller:
                namespace = controller.namespaces[1]
                namespace.write_bytes(data, lba=8)
                buf = nvme.dma.alloc(4096, address_bits=28)
                namespace.read(buf[:SIZE], lba=8)
                edu.copy_in(buf[:SIZE])
            nvme.close()
            edu.copy_out(buf[SIZE : 2 * SIZE])
            with memoryview(buf) as view:
                assert bytes(view[SIZE : 2 * SIZE]) == data
        assert open_descriptors() == before


@by_interface()
def case_a_device_by_another_interface_or_the_same_device_is_refused() -> None:
    with bound_to_vfio(EDU) as edu, bound_to_vfio(NVME) as nvme:
        with open_handle(edu.address) as handle:
            other = "group" if handle.interface == "cdev" else "cdev"
            uri = f"vfio:{nvme.address}?interface={other}"
            with refuses(Unsupported, f"which is open by {handle.interface}"):
                vfio.open(DeviceUri.parse(uri), share_dma_with=handle)
            with refuses(DeviceBusy, "in this program already"):
                vfio.open(DeviceUri.parse(f"vfio:{edu.address}"), share_dma_with=handle)
