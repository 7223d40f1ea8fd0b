from __future__ import annotations

import os
import select

import pytest

from pymmio.errors import AccessFault, DeviceGone, DeviceNotFound, Misaligned, WidthRefused
from pymmio.handle import CONFIG_REGION, IrqKind
from pymmio.pci.resets import ResetKind
from tests.children import in_forked_child
from tests.unit.backend.qtest.conftest import Opener


def test_regions_are_those_of_the_device_and_have_addresses(opened: Opener) -> None:
    handle, fake = opened()
    infos = {info.index: (info.name, info.size) for info in handle.region_infos()}
    assert infos == {
        0: ("BAR0", 0x2000),
        2: ("BAR2", 0x100),
        4: ("BAR4", 64),
        6: ("ROM", 0x800),
        CONFIG_REGION: ("config", 4096),
    }
    assert fake.device.read(0x10, 8) == 0x80_0000_0000 | 0xC
    assert fake.device.read(0x18, 4) == 0xC000_0000
    assert fake.device.read(0x20, 4) == 0x4000 | 1
    with pytest.raises(DeviceNotFound, match="region 1"):
        handle.open_region(1)


def test_an_access_is_one_command_of_its_width(opened: Opener) -> None:
    handle, fake = opened()
    handle.open_region(CONFIG_REGION).write(4, 2, 2)
    bar = handle.open_region(0)
    for width, letter in ((1, "b"), (2, "w"), (4, "l"), (8, "q")):
        value = 0x1122334455667788 & (1 << 8 * width) - 1
        bar.write(0x10, width, value)
        assert bar.read(0x10, width) == value
        commands = [f"write{letter} 0x8000000010 {value:#x}", f"read{letter} 0x8000000010"]
        assert fake.accesses[-2:] == commands


def test_ports_are_reached_as_ports(opened: Opener) -> None:
    handle, fake = opened()
    handle.open_region(CONFIG_REGION).write(4, 2, 1)
    ports = handle.open_region(4)
    ports.write(4, 2, 0xBEEF)
    assert ports.read(4, 2) == 0xBEEF
    assert fake.accesses[-2:] == ["outw 0x4004 0xbeef", "inw 0x4004"]
    with pytest.raises(WidthRefused):
        ports.read(0, 8)


def test_blocks_are_single_accesses_many_at_once(opened: Opener) -> None:
    handle, fake = opened()
    handle.open_region(CONFIG_REGION).write(4, 2, 2)
    bar = handle.open_region(0)
    data = os.urandom(1024)
    bar.write_block(0x100, data, 4)  # type: ignore[union-attr]
    assert bar.read_block(0x100, 1024, 4) == data  # type: ignore[union-attr]
    assert fake.memory[0x100:0x500] == data
    places = [line.split()[1] for line in fake.accesses[-256:]]
    assert places == [f"{0x8000000100 + 4 * index:#x}" for index in range(256)]


def test_the_rom_is_switched_on_for_an_access_only(opened: Opener) -> None:
    handle, fake = opened()
    handle.open_region(CONFIG_REGION).write(4, 2, 2)
    rom = handle.open_region(6)
    rom.read(0, 4)
    assert not rom.info.writable
    handle.open_region(CONFIG_REGION).read(0, 4)  # what was posted has been done
    writes = [line for line in fake.accesses[-4:] if line.startswith("writel 0xb0100030")]
    assert [int(line.split()[2], 16) & 1 for line in writes] == [1, 0]


@pytest.mark.parametrize(
    ("offset", "width", "value", "said"),
    [(4, 2, 0, "decoding is off"), (0x44, 2, 3, "sleeps"), (0x10, 4, 0x2000, "another address")],
)
def test_what_nobody_would_answer_is_a_fault_and_no_command(
    opened: Opener, offset: int, width: int, value: int, said: str
) -> None:
    handle, fake = opened()
    config, bar = handle.open_region(CONFIG_REGION), handle.open_region(0)
    config.write(4, 2, 2)
    before = config.read(offset, width)
    config.write(offset, width, value)
    count = len(fake.accesses)
    with pytest.raises(AccessFault, match=said):
        bar.read(0, 4)
    with pytest.raises(AccessFault, match=said):
        bar.write_block(0, bytes(8), 4)  # type: ignore[union-attr]
    assert len(fake.accesses) == count
    config.write(offset, width, before)
    assert bar.read(0, 4) == 0


def test_what_qemu_would_split_is_refused(opened: Opener) -> None:
    handle, _ = opened()
    handle.open_region(CONFIG_REGION).write(4, 2, 2)
    with pytest.raises(Misaligned):
        handle.open_region(0).read(2, 4)


def test_reset_restores_addresses_and_interrupts(opened: Opener) -> None:
    handle, fake = opened()
    config = handle.open_region(CONFIG_REGION)
    config.write(4, 2, 6)
    event = os.eventfd(0, os.EFD_NONBLOCK)
    handle.irq.enable(IrqKind.MSIX, [event])
    handle.reset()
    assert fake.resets == 1
    assert config.read(4, 2) == 2  # decoding as before, bus mastering off
    assert fake.device.read(0x10, 8) == 0x80_0000_0000 | 0xC
    assert fake.send_msix(0)
    assert os.eventfd_read(event) == 1
    os.close(event)
    methods = handle.reset_methods()
    assert ResetKind.BUS in methods


def test_a_function_level_reset_by_the_program_loses_no_address(opened: Opener) -> None:
    handle, fake = opened()
    config = handle.open_region(CONFIG_REGION)
    config.write(0x88, 2, 0x8000)
    assert fake.resets == 1
    config.write(4, 2, 2)
    assert handle.open_region(0).read(0, 4) == 0


def test_the_end_of_qemu_is_told_with_its_last_words(opened: Opener) -> None:
    handle, fake = opened()
    handle.open_region(CONFIG_REGION).write(4, 2, 2)
    told = os.eventfd(0)
    errors: list[Exception] = []
    handle.when_gone(lambda make: (errors.append(make()), os.eventfd_write(told, 1)))
    fake.die()
    with pytest.raises(DeviceGone, match="last words"):
        handle.open_region(0).read(0, 4)
    assert handle.is_gone()
    assert select.select([told], [], [], 10)[0]
    assert isinstance(errors[0], DeviceGone)
    assert "status 7" in str(errors[0])
    handle.irq.disable(IrqKind.MSIX)
    handle.close()
    os.close(told)


def test_closing_tells_nobody_that_it_is_gone(opened: Opener) -> None:
    handle, _ = opened()
    told: list[object] = []
    handle.when_gone(told.append)
    handle.close()
    handle.close()
    assert not told


def test_a_forked_child_ends_nothing(opened: Opener) -> None:
    handle, fake = opened()
    handle.open_region(CONFIG_REGION).write(4, 2, 2)

    def child() -> None:
        assert not handle.is_gone()
        handle.close()

    in_forked_child(child)
    assert handle.open_region(0).read(0, 4) == 0
    assert not fake.has_ended()
