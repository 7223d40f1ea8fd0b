"""Register values and access rules, as literals of NVMe Base 1.4 §3.1 and Base 2.0 §3.1.3."""

from __future__ import annotations

import pytest

from .nvme_driver import ENABLE, Driver

CAP, VS, INTMS, INTMC, CC, CSTS, NSSR = 0x00, 0x08, 0x0C, 0x10, 0x14, 0x1C, 0x20
AQA, ASQ, ACQ, CMBLOC, CMBSZ, CRTO = 0x24, 0x28, 0x30, 0x38, 0x3C, 0x68


def idle(**options: str) -> Driver:
    return Driver(start=False, **options)


def test_cap_of_a_1_4_controller() -> None:
    driver = idle(mqes="1023", to="20", dstrd="2", mpsmax="3")
    cap = driver.model.bar_read(0, CAP, 8)
    assert cap & 0xFFFF == 1023  # MQES
    assert cap >> 16 & 1 == 1  # CQR
    assert cap >> 17 & 3 == 0  # AMS: round robin
    assert cap >> 24 & 0xFF == 20  # TO
    assert cap >> 32 & 0xF == 2  # DSTRD
    assert cap >> 36 & 1 == 0  # NSSRS
    assert cap >> 37 & 0xFF == 1  # CSS: NVM
    assert cap >> 48 & 0xF == 0  # MPSMIN
    assert cap >> 52 & 0xF == 3  # MPSMAX
    assert cap >> 56 == 0  # PMRS, CMBS, and what 2.0 adds
    assert driver.r32(VS) == 0x00010400
    assert driver.r32(CRTO) == 0


def test_a_2_0_controller_has_crto() -> None:
    driver = idle(version="2.0", to="7")
    assert driver.model.bar_read(0, CAP, 8) >> 59 & 3 == 1  # CRMS.CRWMS
    assert driver.r32(VS) == 0x00020000
    assert driver.r32(CRTO) & 0xFFFF == 7


def test_64_bit_registers_are_two_halves_or_one() -> None:
    driver = idle()
    assert driver.model.bar_read(0, CAP, 8) == driver.r32(0) | driver.r32(4) << 32
    driver.w64(ASQ, 0x1_2345_6789_A000)
    assert (driver.r32(ASQ), driver.r32(ASQ + 4)) == (0x6789_A000, 0x1_2345)
    driver.w32(ACQ, 0xB000)
    driver.w32(ACQ + 4, 0x77)
    assert driver.model.bar_read(0, ACQ, 8) == 0x77_0000_B000
    driver.w32(ACQ, 0xC000)
    assert driver.model.bar_read(0, ACQ, 8) == 0x77_0000_C000


def test_aqa_keeps_only_its_two_sizes() -> None:
    driver = idle()
    driver.w32(AQA, 0xFFFF_FFFF)
    assert driver.r32(AQA) == 0x0FFF_0FFF


@pytest.mark.parametrize("offset", [CAP, CAP + 4, VS, CSTS, NSSR, CMBLOC, CMBSZ, 0x40, 0xFFC])
def test_read_only_and_reserved_registers_ignore_writes(offset: int) -> None:
    driver = idle()
    before = driver.r32(offset)
    driver.w32(offset, 0xFFFF_FFFF)
    assert driver.r32(offset) == before


@pytest.mark.parametrize("offset", [NSSR, CMBLOC, CMBSZ, 0x40, 0x50, 0x6C, 0x800, 0xFFC, 0x1000])
def test_what_is_not_there_reads_zero(offset: int) -> None:
    assert idle().r32(offset) == 0


@pytest.mark.parametrize(
    ("offset", "width"), [(0, 1), (0, 2), (2, 4), (4, 8), (0x14, 2), (0x08, 8), (0x18, 8)]
)
def test_undefined_reads_give_zero_and_a_note(offset: int, width: int) -> None:
    driver = idle()
    assert driver.model.bar_read(0, offset, width) == 0
    assert "undefined read" in driver.model.notes[-1]


@pytest.mark.parametrize(("offset", "width"), [(0x24, 2), (0x14, 1), (0x26, 4), (0x10, 8)])
def test_undefined_writes_are_ignored_with_a_note(offset: int, width: int) -> None:
    driver = idle()
    driver.model.bar_write(0, offset, width, 1)
    assert (driver.r32(AQA), driver.r32(CC), driver.r32(INTMC)) == (0, 0, 0)
    assert "undefined write" in driver.model.notes[-1]


def test_interrupt_mask_is_set_and_cleared_by_ones() -> None:
    driver = idle()
    driver.w32(INTMS, 0x0F)
    driver.w32(INTMS, 0x30)
    driver.w32(INTMC, 0x11)
    assert driver.r32(INTMS) == driver.r32(INTMC) == 0x2E


def test_admin_queue_registers_are_locked_while_enabled() -> None:
    driver = Driver()
    before = [driver.r32(offset) for offset in (AQA, ASQ, ASQ + 4, ACQ, ACQ + 4)]
    for offset in (AQA, ASQ, ASQ + 4, ACQ, ACQ + 4):
        driver.w32(offset, 0x1000)
    assert [driver.r32(offset) for offset in (AQA, ASQ, ASQ + 4, ACQ, ACQ + 4)] == before
    assert "CC.EN" in driver.model.notes[-1]


def test_page_size_cannot_change_while_enabled() -> None:
    driver = Driver()
    driver.w32(CC, ENABLE | 1 << 7)
    assert driver.r32(CC) == ENABLE


def test_other_bars_are_not_there() -> None:
    driver = idle()
    driver.model.bar_write(2, 0x14, 4, ENABLE)
    assert driver.model.bar_read(2, 0, 4) == 0
    assert driver.r32(CC) == 0


@pytest.mark.parametrize("dstrd", ["0", "4", "15"])
@pytest.mark.parametrize("pairs", ["1", "64", "1000"])
def test_the_bar_holds_doorbells_and_msix_table_apart(dstrd: str, pairs: str) -> None:
    model = idle(dstrd=dstrd, max_ioqpairs=pairs).model
    doorbells_end = 0x1000 + 2 * (int(pairs) + 1) * (4 << int(dstrd))
    assert model.msix_bar == 0
    assert model.msix_offset >= doorbells_end
    assert model.msix_offset % 4096 == 0
    size = model.bars[0].size
    assert size >= 0x4000
    assert size & (size - 1) == 0
    assert model.msix_offset + 16 * model.msix_vectors + 8 * 2 <= size


def test_identity_is_that_of_qemu() -> None:
    model = idle().model
    assert (model.vendor_id, model.device_id, model.class_code) == (0x1B36, 0x0010, 0x010802)
    assert model.msix_vectors == 65
    assert model.has_intx
