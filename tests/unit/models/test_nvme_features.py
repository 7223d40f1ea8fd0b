"""Features (Base 1.4 §5.13, §5.21)."""

from __future__ import annotations

import pytest

from .nvme_driver import SUCCESS, Driver

ARBITRATION, POWER, TEMPERATURE, ERROR_RECOVERY, WRITE_CACHE = 1, 2, 4, 5, 6
QUEUES, COALESCING, VECTOR, ATOMICITY, EVENTS, TIMESTAMP = 7, 8, 9, 0xA, 0xB, 0xE


def get(driver: Driver, fid: int, cdw11: int = 0, *, select: int = 0, nsid: int = 0) -> int:
    done = driver.submit_admin(0x0A, nsid=nsid, cdw10=fid | select << 8, cdw11=cdw11)
    assert done.status == SUCCESS
    return done.dw0


def put(driver: Driver, fid: int, cdw11: int, *, nsid: int = 0) -> int:
    done = driver.submit_admin(0x09, nsid=nsid, cdw10=fid, cdw11=cdw11)
    assert done.status == SUCCESS
    return done.dw0


@pytest.mark.parametrize(
    ("fid", "default", "value", "expected"),
    [
        (ARBITRATION, 0x7, 0x0102_0303, 0x0102_0303),
        (POWER, 0, 0, 0),
        (WRITE_CACHE, 1, 0, 0),
        (COALESCING, 0, 0x0A0B, 0x0A0B),
        (ATOMICITY, 0, 1, 1),
        (EVENTS, 0, 0x100, 0x100),
    ],
)
def test_values_are_kept_and_defaults_come_back(
    fid: int, default: int, value: int, expected: int
) -> None:
    driver = Driver()
    assert get(driver, fid) == default
    put(driver, fid, value)
    assert get(driver, fid) == expected
    assert get(driver, fid, select=1) == default
    assert get(driver, fid, select=2) == default
    assert get(driver, fid, select=3) == 0x4  # changeable, not saveable, of the controller
    driver.w32(0x14, 0)
    driver.start()
    assert get(driver, fid) == default


def test_number_of_queues() -> None:
    driver = Driver(queues=0, max_ioqpairs="12")
    assert put(driver, QUEUES, 3 | 3 << 16) == 11 | 11 << 16
    assert get(driver, QUEUES) == 11 | 11 << 16
    for invalid in (0xFFFF, 0xFFFF << 16):
        assert driver.submit_admin(0x09, cdw10=QUEUES, cdw11=invalid).status == 0x002
    driver.create_pair(1, 8)
    assert driver.submit_admin(0x09, cdw10=QUEUES, cdw11=1).status == 0x00C


def test_interrupt_vector_configuration() -> None:
    driver = Driver(msix_qsize="4")
    assert get(driver, VECTOR, 0) == 1 << 16  # the admin queue's: never coalesced
    assert get(driver, VECTOR, 3) == 3
    put(driver, VECTOR, 3 | 1 << 16)
    assert get(driver, VECTOR, 3) == 3 | 1 << 16
    assert driver.submit_admin(0x0A, cdw10=VECTOR, cdw11=4).status == 0x002
    assert driver.submit_admin(0x09, cdw10=VECTOR, cdw11=4).status == 0x002


def test_error_recovery_is_of_a_namespace() -> None:
    driver = Driver(ns="2", size="1M")
    put(driver, ERROR_RECOVERY, 7, nsid=1)
    assert (get(driver, ERROR_RECOVERY, nsid=1), get(driver, ERROR_RECOVERY, nsid=2)) == (7, 0)
    put(driver, ERROR_RECOVERY, 9, nsid=0xFFFF_FFFF)
    assert (get(driver, ERROR_RECOVERY, nsid=1), get(driver, ERROR_RECOVERY, nsid=2)) == (9, 9)
    assert get(driver, ERROR_RECOVERY, nsid=1, select=1) == 0
    assert get(driver, ERROR_RECOVERY, nsid=1, select=3) == 0x6
    assert driver.submit_admin(0x09, nsid=1, cdw10=5, cdw11=1 << 16).status == 0x002  # DULBE


def test_temperature_thresholds() -> None:
    driver = Driver()
    over, under, sensor1 = 0, 1 << 20, 1 << 16
    assert get(driver, TEMPERATURE, over) == 0x157
    assert get(driver, TEMPERATURE, under) == 0
    assert get(driver, TEMPERATURE, sensor1) == 0
    put(driver, TEMPERATURE, 0x150 | over)
    put(driver, TEMPERATURE, 0x100 | under)
    put(driver, TEMPERATURE, 0x99 | sensor1)
    assert get(driver, TEMPERATURE, over) == 0x150
    assert get(driver, TEMPERATURE, under) == 0x100
    assert get(driver, TEMPERATURE, over, select=1) == 0x157


def test_timestamp_counts_on() -> None:
    driver = Driver()
    now = [100.0]
    driver.model.features.clock = lambda: now[0]
    buffer = driver.alloc(4096)
    driver.poke(buffer, (1_700_000_000_000).to_bytes(6, "little") + b"\xff\xff")
    assert driver.submit_admin(0x09, cdw10=TIMESTAMP, prp1=buffer).status == SUCCESS
    now[0] += 2.5
    assert driver.submit_admin(0x0A, cdw10=TIMESTAMP, prp1=buffer).status == SUCCESS
    assert driver.peek(buffer, 6) == (1_700_000_002_500).to_bytes(6, "little")
    assert driver.peek(buffer + 6, 2) == b"\x02\x00"  # origin 001b: set by the driver


def test_a_timestamp_that_was_not_set_says_so() -> None:
    driver = Driver()
    buffer = driver.alloc(4096)
    assert driver.submit_admin(0x0A, cdw10=TIMESTAMP, prp1=buffer).status == SUCCESS
    assert driver.peek(buffer + 6, 2) == b"\x00\x00"
