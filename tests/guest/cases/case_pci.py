"""PCI extras: resets and whom they hit, power states, ROM, links, errors, large vector tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pymmio
from pymmio.errors import AccessFault, DeviceBusy, Unsupported
from pymmio.pci import (
    Acs,
    Aer,
    ConfigSpace,
    DeviceSerialNumber,
    PcieType,
    PciExpress,
    PowerState,
    SrIov,
)
from tests.guest.case import case
from tests.guest.cases.vfio_common import refuses
from tests.guest.inside import (
    EDU,
    NVME,
    PCI,
    PCI_TESTDEV,
    Function,
    bind_vfio,
    bound_to_vfio,
    find_functions,
    give_back,
)
from tests.guest.interfaces import by_interface, uri_of

E1000E = (0x8086, 0x10D3)
ROOT_PORT = (0x1B36, 0x000C)
ROM = Path(__file__).parents[1] / "roms" / "two_images.rom"

CC = 0x14  # NVMe Base 2.0 §3.1.3.5
VET = 0x38  # VLAN Ether Type, Intel 82574 GbE Controller datasheet
ENTRY_SIZES = 4 << 20 | 6 << 16  # IOCQES, IOSQES

extras = by_interface(guests=("extras",))


@contextmanager
def opened(ids: tuple[int, int]) -> Iterator[pymmio.Device]:
    """Bind the only function with these ids and open it."""
    with bound_to_vfio(ids) as function, pymmio.open_device(uri_of(function.address)) as device:
        yield device


@contextmanager
def two_functions(*, second_is_bound: bool = True) -> Iterator[tuple[Function, Function]]:
    """Bind both functions of the slot that can only be reset as a whole."""
    first, second = find_functions(PCI_TESTDEV)
    with ExitStack() as undo:
        for function in (first, second) if second_is_bound else (first,):
            undo.callback(give_back, function)
            bind_vfio(function)
        yield first, second


class SysfsConfig:
    """Configuration space as sysfs shows it, for functions that VFIO does not hand out."""

    def __init__(self, function: Function) -> None:
        self._bytes = (function.path / "config").read_bytes()
        self.size = len(self._bytes)

    def _read(self, offset: int, width: int) -> int:
        return int.from_bytes(self._bytes[offset : offset + width], "little")

    def read8(self, offset: int, /) -> int:
        return self._read(offset, 1)

    def read16(self, offset: int, /) -> int:
        return self._read(offset, 2)

    def read32(self, offset: int, /) -> int:
        return self._read(offset, 4)

    def write8(self, offset: int, value: int, /) -> None:
        raise AssertionError("nothing is written here")

    write16 = write32 = write8


def kernel_lists(function: Function) -> set[str]:
    path = function.path / "reset_method"
    return set(path.read_text().split()) if path.exists() else set()


# --- resets ------------------------------------------------------------------------------


@extras
def case_nothing_resets_edu_on_the_root_bus_and_that_is_said() -> None:
    with opened(EDU) as edu:
        methods = edu.reset_methods()
        assert not methods, methods
        said = {method.kind: method.says for method in methods.looked_at}
        assert "no PCI Express capability" in said["flr"]
        with refuses(Unsupported, "flr: no", "pm: no", "hot: no", "root port"):
            edu.reset()
        with refuses(Unsupported, "root bus"):
            edu.hot_reset()
        assert edu.region(0).read32(0) == 0x010000ED


@extras
def case_nvme_has_flr_and_it_works() -> None:
    with opened(NVME) as nvme:
        bar = nvme.region(0)
        assert "flr" in nvme.reset_methods()
        assert "flr" in kernel_lists(find_functions(NVME)[0])
        assert "hot" not in nvme.reset_methods()
        bar.write32(CC, ENTRY_SIZES)
        assert bar.read32(CC) == ENTRY_SIZES
        nvme.reset()
        assert bar.read32(CC) == 0


@extras
def case_e1000e_alone_behind_its_port_is_reset_in_several_ways() -> None:
    with opened(E1000E) as card:
        function = find_functions(E1000E)[0]
        methods = card.reset_methods()
        listed = kernel_lists(function)
        assert listed <= {str(method.kind) for method in methods}, (listed, str(methods))
        assert "bus" in listed
        assert "hot" in methods
        bar = card.region(0)
        vet = bar.read32(VET)
        bar.write32(VET, 0x1234)
        assert bar.read32(VET) == 0x1234
        card.hot_reset()
        assert bar.read32(VET) == vet
        # The kernel tries "pm" first.  QEMU's card says that D3hot resets it, and is not reset.
        card.reset()
        assert bar.read32(VET) == vet


@extras
def case_two_functions_are_reset_together_or_not_at_all() -> None:
    with two_functions() as (first, second), pymmio.open_device(uri_of(first.address)) as device:
        (hot,) = device.reset_methods()
        assert hot.kind == "hot"
        assert hot.affects == (second.address,)
        device.reset()
        device.hot_reset()
        device.region(0).read32(0)


@extras
def case_a_function_that_is_not_on_vfio_is_in_the_way() -> None:
    with (
        two_functions(second_is_bound=False) as (first, second),
        pymmio.open_device(uri_of(first.address)) as device,
    ):
        assert not device.reset_methods()
        with refuses(DeviceBusy, second.address, "not bound to vfio-pci"):
            device.hot_reset()
        with refuses(Unsupported, second.address, "not bound to vfio-pci"):
            device.reset()


@extras
def case_an_open_device_of_ours_must_be_named() -> None:
    with two_functions() as (first, second), ExitStack() as undo:
        device = undo.enter_context(pymmio.open_device(uri_of(first.address)))
        other = undo.enter_context(
            pymmio.open_device(uri_of(second.address), share_dma_with=device)
        )
        with refuses(DeviceBusy, f"{second.address} (open in this process)"):
            device.hot_reset()
        device.hot_reset(affecting=[second.address])
        other.region(0).read32(0)


# --- power states ------------------------------------------------------------------------


def _through_d3hot(ids: tuple[int, int], register: int) -> None:
    with opened(ids) as device:
        bar = device.region(0)
        device.enable_bus_master()
        before = bar.read32(register), device.config.command
        with device.in_power_state(PowerState.D3HOT):
            assert device.power_state == PowerState.D3HOT
            with refuses(AccessFault, "sleeps in D3HOT"):
                bar.read32(register)
            with refuses(AccessFault, "sleeps in D3HOT"):
                bar.write32(register, 0)
            assert device.config.vendor_id == ids[0]
        assert device.power_state == PowerState.D0
        assert (bar.read32(register), device.config.command) == before


@extras
def case_nvme_sleeps_in_d3hot_and_wakes() -> None:
    _through_d3hot(NVME, 0x08)  # VS


@extras
def case_e1000e_sleeps_in_d3hot_and_wakes() -> None:
    _through_d3hot(E1000E, VET)


@extras
def case_edu_knows_d0_only() -> None:
    with opened(EDU) as edu:
        assert edu.power_state == PowerState.D0
        with refuses(Unsupported, "D0 only"):
            edu.set_power_state(PowerState.D3HOT)


# --- expansion ROM -----------------------------------------------------------------------


@extras
@case(params=("nvme", "e1000e"))
def case_the_rom_is_the_file_that_qemu_was_given(name: str) -> None:
    with opened({"nvme": NVME, "e1000e": E1000E}[name]) as device:
        rom = device.rom()
        assert [(one.code_name, one.size) for one in rom.images] == [("x86", 1024), ("efi", 512)]
        assert rom.dump() == ROM.read_bytes()
        assert rom.is_checksum_right(rom.images[0])


@extras
def case_edu_has_no_rom() -> None:
    with opened(EDU) as edu, refuses(Unsupported, "no expansion ROM"):
        edu.rom()


# --- what configuration space says -------------------------------------------------------


@extras
def case_links_slots_and_extended_capabilities() -> None:
    with opened(E1000E) as card:
        express = card.config.capability(PciExpress)
        assert express is not None
        state = express.link_state
        assert state is not None
        assert str(state.now) == "2.5 GT/s x1"
        aer = card.config.extended_capability(Aer)
        assert aer is not None
        assert not aer.is_root
        assert int(aer.uncorrectable_status) == 0
        assert "malformed_tlp" in str(aer)
        serial = card.config.extended_capability(DeviceSerialNumber)
        assert serial is not None
        assert len(serial.text) == 23
    for port in find_functions(ROOT_PORT):
        config = ConfigSpace(SysfsConfig(port))
        express = config.capability(PciExpress)
        assert express is not None
        assert express.type is PcieType.ROOT_PORT
        assert express.slot is not None
        assert express.slot.card_present
        aer = config.extended_capability(Aer)
        assert aer is not None
        assert aer.is_root
        assert "root_status" in aer.facts()
        assert config.extended_capability(Acs) is not None
    with opened(NVME) as nvme:  # on the root bus: integrated, without a link
        express = nvme.config.capability(PciExpress)
        assert express is not None
        assert express.link_state is None


@case(guest="extras")
def case_every_function_of_the_guest_is_decoded_without_complaint() -> None:
    for path in sorted((PCI / "devices").iterdir()):
        said = ConfigSpace(SysfsConfig(Function(path.name))).survey_capabilities().as_dict()
        assert said["damage"] == [], path.name
        for kind in ("capabilities", "extended_capabilities"):
            listed = said[kind]
            assert isinstance(listed, list)
            assert not [one for one in listed if "error" in one], (path.name, listed)


# --- interrupts --------------------------------------------------------------------------


def _lines_of(address: str) -> int:
    """Count the vectors that the kernel gave to a device (vfio-msix[...](address))."""
    lines = Path("/proc/interrupts").read_text().splitlines()
    return sum("vfio-msix" in line and address in line for line in lines)


@extras
def case_a_few_vectors_of_a_large_table() -> None:
    with opened(NVME) as nvme:
        address = find_functions(NVME)[0].address
        assert len(nvme.irqs.msix) == 65
        vectors = nvme.irqs.msix.enable_only([3, 64])
        assert list(vectors) == [3, 64]
        assert _lines_of(address) == 2
        assert nvme.irqs.msix[10]
        assert _lines_of(address) == 3
        nvme.irqs.msix.disable()
        assert _lines_of(address) == 0
        assert len(nvme.irqs.msix.enable(65, partial=True)) == 65
        assert _lines_of(address) == 65


@case(guest="shared")
def case_virtual_functions_as_the_card_announces_them() -> None:
    card = find_functions(NVME)[0]
    sriov = ConfigSpace(SysfsConfig(card)).extended_capability(SrIov)
    assert sriov is not None
    facts = sriov.facts()
    assert facts["total_vfs"] == int((card.path / "sriov_totalvfs").read_text()) == 2
    assert facts["vf_device_id"] == int((card.path / "sriov_vf_device").read_text(), 16)
    assert sriov.first_offset == int((card.path / "sriov_offset").read_text())
    assert sriov.stride == int((card.path / "sriov_stride").read_text())
    assert facts["system_page_size"] == 4096
    assert len(sriov.vf_bars()) >= 1
