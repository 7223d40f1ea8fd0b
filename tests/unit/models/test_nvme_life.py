"""Enable, disable, shut down, reset, fatal errors (Base 1.4 §3.1.5, §3.1.6, §7.6, §9.5)."""

from __future__ import annotations

import pytest

from .nvme_driver import ENABLE, MEMORY, SUCCESS, Driver

RDY, CFS, SHST_OCCURRING, SHST_COMPLETE, NSSRO = 1, 2, 4, 8, 16


def prepare(driver: Driver, *, asq: int = MEMORY, acq: int = MEMORY + 4096, aqa: int = 0x1F001F):
    driver.w32(0x24, aqa)
    driver.w64(0x28, asq)
    driver.w64(0x30, acq)


def test_ready_follows_enable() -> None:
    driver = Driver(start=False)
    assert driver.csts == 0
    prepare(driver)
    driver.w32(0x14, ENABLE)
    assert driver.csts == RDY
    driver.w32(0x14, ENABLE & ~1)
    assert driver.csts == 0


def test_ready_takes_as_many_reads_as_asked() -> None:
    driver = Driver(start=False, ready_reads="3")
    prepare(driver)
    driver.w32(0x14, ENABLE)
    assert [driver.csts for _ in range(5)] == [0, 0, 0, RDY, RDY]
    driver.w32(0x14, 0)
    assert [driver.csts for _ in range(5)] == [RDY, RDY, RDY, 0, 0]


def test_doorbells_before_ready_are_ignored() -> None:
    driver = Driver(start=False, ready_reads="5")
    prepare(driver)
    driver.w32(0x14, ENABLE)
    driver.doorbell(0, 0, 1)
    assert driver.host.reads == 0
    assert "not ready" in driver.model.notes[-1]


@pytest.mark.parametrize(
    ("wrong", "cc"),
    [
        ({"asq": MEMORY + 64}, ENABLE),
        ({"acq": MEMORY + 8}, ENABLE),
        ({"aqa": 0x1F0000}, ENABLE),
        ({"aqa": 0x00001F}, ENABLE),
        ({}, ENABLE | 5 << 7),  # MPS 5: above MPSMAX 4
        ({}, ENABLE | 6 << 4),  # CSS 110b
        ({}, ENABLE | 1 << 11),  # AMS: weighted round robin
        ({"asq": MEMORY + 4096}, ENABLE | 1 << 7),  # not aligned to 8 KiB
    ],
)
def test_a_start_that_cannot_work_is_fatal_and_a_reset_mends_it(
    wrong: dict[str, int], cc: int
) -> None:
    driver = Driver(start=False)
    prepare(driver, **wrong)
    driver.w32(0x14, cc)
    assert driver.csts == CFS
    driver.w32(0x14, 0)
    assert driver.csts == 0
    driver.start()
    assert driver.submit_admin(0x0A, cdw10=7).status == SUCCESS


@pytest.mark.parametrize("unmapped", [0xDEAD_0000_0000, 0xFFFF_FFFF_FFFF_F000])
def test_an_admin_queue_that_cannot_be_read_is_fatal(unmapped: int) -> None:
    driver = Driver(start=False)
    prepare(driver, asq=unmapped)
    driver.w32(0x14, ENABLE)
    assert driver.csts == RDY
    driver.doorbell(0, 0, 1)
    assert driver.csts == RDY | CFS
    driver.doorbell(0, 0, 2)
    assert len(driver.host.faults) == 1, "nothing is processed after a fatal error"


def test_a_completion_queue_that_cannot_be_written_is_fatal() -> None:
    driver = Driver(start=False)
    prepare(driver, acq=0xDEAD_0000_0000)
    driver.w32(0x14, ENABLE)
    driver.doorbell(0, 0, 1)
    assert driver.csts & CFS


@pytest.mark.parametrize("kind", [1, 2])
def test_shutdown_completes_and_stays_until_a_reset(kind: int) -> None:
    driver = Driver()
    driver.w32(0x14, ENABLE | kind << 14)
    assert driver.csts == RDY | SHST_COMPLETE
    driver.w32(0x14, ENABLE)
    assert driver.csts == RDY | SHST_COMPLETE
    driver.w32(0x14, 0)
    assert driver.csts == 0


def test_a_stuck_shutdown_goes_on() -> None:
    driver = Driver()
    driver.model.hooks.stuck_shutdown = True
    driver.w32(0x14, ENABLE | 1 << 14)
    assert [driver.csts for _ in range(3)] == [RDY | SHST_OCCURRING] * 3


def test_a_controller_reset_keeps_admin_queue_registers_and_drops_queues() -> None:
    driver = Driver()
    registers = [driver.r32(offset) for offset in (0x24, 0x28, 0x2C, 0x30, 0x34)]
    driver.w32(0x0C, 0xFF)
    driver.w32(0x14, ENABLE & ~1)
    assert [driver.r32(offset) for offset in (0x24, 0x28, 0x2C, 0x30, 0x34)] == registers
    assert (driver.r32(0x0C), driver.r32(0x14)) == (0, 0)
    driver.start()
    assert driver.submit_admin(0x00, cdw10=1).status == 0x101, "queue 1 is gone"
    driver.create_pair(1, 16)


def test_a_function_reset_clears_everything_but_the_blocks() -> None:
    driver = Driver()
    driver.write(3, b"\xaa" * 512)
    driver.model.reset()
    assert driver.csts == 0
    assert [driver.r32(offset) for offset in (0x14, 0x24, 0x28, 0x30)] == [0, 0, 0, 0]
    assert not driver.host.intx_level
    driver.start()
    driver.create_pair(1, 16)
    assert driver.read(3, 512) == b"\xaa" * 512


def test_subsystem_reset() -> None:
    driver = Driver(nssr="on")
    assert driver.r32(0x04) >> 4 & 1 == 1  # CAP.NSSRS
    driver.w32(0x20, 0x12345678)
    assert driver.csts == RDY
    driver.w32(0x20, 0x4E564D65)
    assert driver.csts == NSSRO
    driver.w32(0x1C, NSSRO)
    assert driver.csts == 0


def test_subsystem_reset_is_ignored_where_it_is_not_supported() -> None:
    driver = Driver()
    driver.w32(0x20, 0x4E564D65)
    assert driver.csts == RDY


def test_a_stuck_controller_keeps_ready_until_a_function_reset() -> None:
    driver = Driver()
    driver.model.hooks.stuck = True
    driver.w32(0x14, 0)
    assert [driver.csts for _ in range(10)] == [RDY] * 10
    driver.model.reset()
    assert driver.csts == 0


def test_a_stuck_controller_that_recovers_resets_at_the_next_look() -> None:
    driver = Driver()
    driver.model.hooks.stuck = True
    driver.w32(0x14, 0)
    assert driver.csts == RDY
    driver.model.hooks.stuck = False
    assert driver.csts == 0


def test_a_stuck_controller_never_gets_ready() -> None:
    driver = Driver(start=False)
    driver.model.hooks.stuck = True
    prepare(driver)
    driver.w32(0x14, ENABLE)
    assert driver.csts == 0


def test_enabling_again_before_the_reset_was_seen_still_resets() -> None:
    driver = Driver(ready_reads="4", start=False)
    prepare(driver)
    driver.w32(0x14, ENABLE)
    assert [driver.csts for _ in range(5)][-1] == RDY
    driver.w32(0x14, 0)
    driver.w32(0x14, ENABLE)
    assert [driver.csts for _ in range(5)] == [0, 0, 0, 0, RDY]


def test_a_device_that_is_gone_reads_all_ones() -> None:
    driver = Driver()
    driver.model.hooks.gone = True
    assert driver.csts == 0xFFFF_FFFF
    assert driver.model.bar_read(0, 0, 8) == 0xFFFF_FFFF_FFFF_FFFF
    driver.w32(0x14, 0)
    driver.model.hooks.gone = False
    assert driver.csts == RDY, "the write was lost"


def test_an_injected_fatal_error() -> None:
    driver = Driver()
    driver.model.hooks.break_controller()
    assert driver.csts & CFS
    driver.admin.put(driver.entry(0x06, cdw10=1, prp1=driver.alloc(4096)))
    driver.admin.ring()
    assert driver.admin.poll() == []


def test_larger_memory_pages() -> None:
    driver = Driver(queues=0)
    driver.w32(0x14, 0)
    driver.start(ENABLE | 2 << 7)  # 16 KiB
    driver.create_pair(1, 16)
    data = bytes(range(256)) * 256  # 64 KiB
    buffer = driver.alloc(len(data), align=16384)
    driver.poke(buffer, data)
    pages = [buffer + at for at in range(0, len(data), 16384)]
    for opcode in (0x01, 0x02):
        assert driver.submit_io(opcode, blocks=128, **driver.prps(pages)).status == SUCCESS
    assert driver.peek(buffer, len(data)) == data
    refused = driver.submit_io(0x02, blocks=32, prp1=buffer, prp2=buffer + 4096)
    assert refused.status == SUCCESS, "16 KiB fit into the first page"
