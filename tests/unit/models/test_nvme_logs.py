"""Log pages and asynchronous events (Base 1.4 §5.2, §5.14)."""

from __future__ import annotations

import struct

import pytest

from pymmio.models.nvme.events import Event, EventType

from .nvme_driver import SUCCESS, Driver

ERROR_LOG, HEALTH, FIRMWARE, CHANGED, EFFECTS = 1, 2, 3, 4, 5
EVENT_REQUEST = 0x0C


def request_event(driver: Driver, cid: int) -> list[tuple[int, int, int]]:
    driver.admin.put(driver.entry(EVENT_REQUEST, cid=cid))
    driver.admin.ring()
    return [(c.cid, c.status, c.dw0) for c in driver.admin.poll()]


def test_the_error_log_names_command_and_field() -> None:
    driver = Driver()
    assert driver.get_log(ERROR_LOG, 64) == bytes(64)
    driver.submit_io(0x02, lba=1 << 40, cid=0x1234, prp1=driver.alloc(512))
    driver.submit_admin(0x06, cid=0x4321, cdw10=0xFF, prp1=driver.alloc(512))
    newest, oldest = (driver.get_log(ERROR_LOG, 128)[i : i + 64] for i in (0, 64))
    count, qid, cid, status, location, _, nsid = struct.unpack_from("<QHHHHQI", newest)
    assert (count, qid, cid, nsid) == (2, 0, 0x4321, 0)
    assert status >> 1 & 0x7FF == 0x002
    assert location == 40  # byte of CDW10
    count, qid, cid, status, location, lba, nsid = struct.unpack_from("<QHHHHQI", oldest)
    assert (count, qid, cid, lba, nsid) == (1, 1, 0x1234, 1 << 40, 1)
    assert status >> 1 & 0x7FF == 0x080


def test_a_completion_with_an_entry_in_the_error_log_sets_more() -> None:
    driver = Driver()
    failed = driver.submit_io(0x02, lba=1 << 40, prp1=driver.alloc(512))
    assert failed.status_field & 0x2000


def test_the_error_log_keeps_the_newest() -> None:
    driver = Driver()
    for index in range(100):
        driver.submit_io(0x7F, cid=index)
    log = driver.get_log(ERROR_LOG, 4096)
    cids = [int.from_bytes(log[at + 10 : at + 12], "little") for at in range(0, 4096, 64)]
    assert cids == list(range(99, 35, -1))


def test_health_counts_what_was_moved() -> None:
    driver = Driver(ns="2", size="1M")
    driver.write(0, bytes(512))
    driver.write(0, bytes(1024), nsid=2)
    driver.read(0, 512)
    log = driver.get_log(HEALTH, 512)
    assert log[0] == 0  # critical warning
    assert int.from_bytes(log[1:3], "little") == 0x143
    assert (log[3], log[4]) == (100, 10)  # spare
    counters = [int.from_bytes(log[at : at + 16], "little") for at in (32, 48, 64, 80)]
    assert counters == [1, 1, 1, 2]  # units of 512 000 bytes, rounded up; commands
    second = driver.get_log(HEALTH, 512, nsid=2)
    assert [int.from_bytes(second[at : at + 16], "little") for at in (64, 80)] == [0, 1]


def test_firmware_slot_changed_namespaces_and_effects() -> None:
    driver = Driver()
    log = driver.get_log(FIRMWARE, 512)
    assert log[0] == 1
    assert log[8:16] == b"1.0     "
    assert driver.get_log(CHANGED, 4096) == bytes(4096)
    effects = struct.unpack("<1024I", driver.get_log(EFFECTS, 4096))
    assert effects[0x06] == 1  # identify
    assert effects[0x0D] == 0
    assert effects[256 + 0x02] == 1  # read
    assert effects[256 + 0x01] == 3  # write changes blocks


def test_2_0_lists_its_log_pages() -> None:
    driver = Driver(version="2.0")
    pages = struct.unpack("<256I", driver.get_log(0, 1024))
    assert [lid for lid, supported in enumerate(pages) if supported] == [0, 1, 2, 3, 4, 5]


def test_offset_and_length() -> None:
    driver = Driver()
    whole = driver.get_log(HEALTH, 512)
    buffer = driver.alloc(4096)
    driver.poke(buffer, b"\xee" * 4096)
    done = driver.submit_admin(
        0x02, nsid=0xFFFF_FFFF, cdw10=127 << 16 | HEALTH, cdw12=500, prp1=buffer
    )
    assert done.status == SUCCESS
    assert driver.peek(buffer, 12) == whole[500:]
    assert driver.peek(buffer + 12, 8) == b"\xee" * 8, "nothing beyond the page's end"


def test_a_log_page_request_may_be_as_large_as_mdts() -> None:
    driver = Driver(mdts="1")
    buffer = driver.alloc(8192)
    fields = {"nsid": 0xFFFF_FFFF, "prp1": buffer, "prp2": buffer + 4096}
    assert driver.submit_admin(0x02, cdw10=2047 << 16 | ERROR_LOG, **fields).status == SUCCESS
    assert driver.submit_admin(0x02, cdw10=2048 << 16 | ERROR_LOG, **fields).status == 0x002


# --- events ----------------------------------------------------------------------------


def test_requests_wait_and_one_too_many_is_refused() -> None:
    driver = Driver(aerl="1")
    assert request_event(driver, 1) == []
    assert request_event(driver, 2) == []
    assert request_event(driver, 3) == [(3, 0x105, 0)]


def test_an_event_type_is_masked_until_its_log_page_is_read() -> None:
    driver = Driver()
    for cid in (1, 2, 3):
        request_event(driver, cid)
    driver.model.events.post(Event(EventType.ERROR, 3, ERROR_LOG))
    driver.model.events.post(Event(EventType.ERROR, 4, ERROR_LOG))
    driver.model.events.post(Event(EventType.SMART, 0, HEALTH))
    assert [(c.cid, c.dw0) for c in driver.admin.poll()] == [(1, 0x01_03_00), (2, 0x02_00_01)]
    driver.get_log(ERROR_LOG, 64, rae=1)
    driver.model.events.post(Event(EventType.ERROR, 5, ERROR_LOG))
    assert driver.admin.poll() == [], "RAE keeps the event"
    driver.get_log(ERROR_LOG, 64)
    driver.model.events.post(Event(EventType.ERROR, 5, ERROR_LOG))
    assert [(c.cid, c.dw0) for c in driver.admin.poll()] == [(3, 0x01_05_00)]


def test_an_event_without_a_request_waits_for_one() -> None:
    driver = Driver()
    driver.model.events.post(Event(EventType.SMART, 0, HEALTH))
    assert request_event(driver, 8) == [(8, SUCCESS, 0x02_00_01)]


def test_temperature_events_come_if_they_were_asked_for() -> None:
    driver = Driver()
    request_event(driver, 1)
    driver.model.features.temperature = 0x160
    driver.model.features.check_temperature()
    assert driver.admin.poll() == []
    driver.submit_admin(0x09, cdw10=0x0B, cdw11=0x2)
    driver.model.features.check_temperature()
    assert [(c.cid, c.dw0) for c in driver.admin.poll()] == [(1, 0x02_01_01)]
    assert driver.get_log(HEALTH, 512)[0] == 0x2


def test_namespace_notices() -> None:
    driver = Driver(ns="2", size="1M")
    request_event(driver, 1)
    driver.model.change_namespace(2)
    assert driver.admin.poll() == [], "not enabled"
    driver.submit_admin(0x09, cdw10=0x0B, cdw11=0x100)
    driver.model.change_namespace(1)
    assert [(c.cid, c.dw0) for c in driver.admin.poll()] == [(1, 0x04_00_02)]
    assert struct.unpack_from("<3I", driver.get_log(CHANGED, 4096)) == (1, 2, 0)
    assert driver.get_log(CHANGED, 4096) == bytes(4096)


def test_a_reset_forgets_requests() -> None:
    driver = Driver()
    request_event(driver, 1)
    driver.w32(0x14, 0)
    driver.start()
    driver.model.events.post(Event(EventType.SMART, 0, HEALTH))
    assert driver.admin.poll() == []


def test_events_that_nobody_fetches_do_not_pile_up() -> None:
    driver = Driver()
    for _ in range(1000):
        driver.model.events.post(Event(EventType.ERROR, 1, ERROR_LOG))
    assert len(driver.model.events._events) <= 64


@pytest.mark.parametrize("cid", [1, 2])
def test_abort_of_an_event_request(cid: int) -> None:
    driver = Driver()
    for request in (1, 2):
        request_event(driver, request)
    driver.admin.put(driver.entry(0x08, cid=50, cdw10=cid << 16))
    driver.admin.ring()
    done = [(c.cid, c.status, c.dw0) for c in driver.admin.poll()]
    assert done == [(cid, 0x007, 0), (50, SUCCESS, 0)]
    assert driver.model.events.outstanding == 1
