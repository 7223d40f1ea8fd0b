"""VF tokens, with the virtual functions of an nvme whose physical function is in this program."""

from __future__ import annotations

from pymmio.backend import vfio
from pymmio.backend.vfio.device import VfioDevice
from pymmio.errors import PermissionRefused, Unsupported
from pymmio.handle import CONFIG_REGION
from pymmio.uri import DeviceUri
from tests.guest.cases.vfio_common import refuses, virtual_functions
from tests.guest.inside import (
    EDU,
    NVME,
    Function,
    bind_vfio,
    find_functions,
    give_back,
)
from tests.guest.interfaces import by_interface, interface

GUEST = ("shared",)
TOKEN = "01234567-89ab-cdef-0123-456789abcdef"
OTHER = "fedcba98-7654-3210-fedc-ba9876543210"


def _open(function: Function, how: str, token: str | None = None) -> VfioDevice:
    query = f"interface={how}" + (f"&vf_token={token}" if token else "")
    return vfio.open(DeviceUri.parse(f"vfio:{function.address}?{query}"))


@by_interface(guests=GUEST)
def case_a_virtual_function_opens_by_its_group_for_the_token_only() -> None:
    with virtual_functions(TOKEN) as (physical, (virtual, _)):
        whose = f"its physical function {physical.name}"
        with refuses(PermissionRefused, f"Pass the token of {whose}", "?vf_token=UUID"):
            _open(virtual, "group")
        with refuses(PermissionRefused, f"must be the one that {whose} was opened with"):
            _open(virtual, "group", OTHER)
        handle = _open(virtual, "group", TOKEN)
        # Its vendor is all ones in hardware; VFIO shows that of the physical function.
        assert handle.open_region(CONFIG_REGION).read(0, 2) == NVME[0]
        handle.close()


@by_interface(guests=GUEST)
def case_a_cdev_that_takes_no_token_leaves_the_way_to_the_group() -> None:
    with virtual_functions(TOKEN) as (_, (virtual, _)):
        refusal = ""
        try:
            _open(virtual, "cdev", TOKEN).close()
        except Unsupported as error:  # before Linux 6.18
            refusal = str(error)
        assert not refusal or "interface=group" in refusal
        handle = _open(virtual, "auto", TOKEN)
        assert handle.interface == ("group" if refusal else "cdev")
        handle.close()


@by_interface(guests=GUEST)
def case_virtual_functions_share_an_address_space() -> None:
    with virtual_functions(TOKEN) as (_, functions):
        first = _open(functions[0], "group", TOKEN)
        uri = f"vfio:{functions[1].address}?vf_token={TOKEN}"
        second = vfio.open(DeviceUri.parse(uri), share_dma_with=first)
        assert second.dma is first.dma
        first.close()
        second.close()


@by_interface(guests=GUEST)
def case_a_token_for_a_device_that_takes_none_is_refused() -> None:
    edu = find_functions(EDU)[0]
    bind_vfio(edu)
    try:
        with refuses(Unsupported, "leave vf_token out"):
            _open(edu, interface(), TOKEN)
    finally:
        give_back(edu)
