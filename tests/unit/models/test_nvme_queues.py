"""Queues: wrap, full completion queues, doorbells, deletion, interrupts."""

from __future__ import annotations

import pytest

from pymmio.handle import IrqKind

from .nvme_driver import SUCCESS, Driver

FLUSH = 0x00


def test_many_rounds_wrap_both_queues_and_the_phase() -> None:
    driver = Driver(size="16M", queues=0)
    pair = driver.create_pair(1, 5)
    for round_ in range(50):
        for index in range(4):
            pair.put(driver.entry(FLUSH, nsid=1, cid=round_ * 4 + index))
        pair.ring()
        done = pair.poll()
        assert [c.cid for c in done] == list(range(round_ * 4, round_ * 4 + 4))
        assert all(c.status_field == SUCCESS for c in done)
        assert done[-1].sq_head == pair.tail


def test_the_smallest_queue_has_two_entries() -> None:
    driver = Driver(queues=0)
    pair = driver.create_pair(1, 2)
    for _ in range(7):
        assert driver.submit(pair, FLUSH, nsid=1).status == SUCCESS


def test_the_largest_queue_runs_full_in_one_doorbell() -> None:
    driver = Driver(queues=0, mqes="65535", memory=16 << 20)
    pair = driver.create_pair(1, 65536)
    for _ in range(2):
        for index in range(65535):
            pair.put(driver.entry(FLUSH, nsid=1, cid=index))
        pair.ring()
        assert len(pair.poll()) == 65535


def test_completions_wait_until_the_driver_has_read_the_old_ones() -> None:
    driver = Driver(queues=0)
    big, small = driver.create_pair(1, 32), driver.create_pair(2, 4)
    # A submission queue of 32 entries that completes into the queue of 4.
    sq = driver.alloc(32 * 64)
    made = driver.submit_admin(0x01, prp1=sq, cdw10=31 << 16 | 3, cdw11=2 << 16 | 1)
    assert made.status == SUCCESS
    for index in range(20):
        driver.poke(sq + 64 * index, driver.entry(FLUSH, nsid=1, cid=100 + index))
    driver.doorbell(3, 0, 20)
    seen = []
    for _ in range(30):
        found = small.poll(consume=False)
        assert len(found) <= 3, "entries that were not consumed are never overwritten"
        seen += [c.cid for c in found]
        driver.doorbell(2, 1, small.head)
    assert seen == list(range(100, 120))
    assert driver.submit(big, FLUSH, nsid=1).status == SUCCESS


def test_a_full_completion_queue_stops_fetching() -> None:
    driver = Driver(queues=0)
    pair = driver.create_pair(1, 4)
    sq = driver.alloc(256 * 64)
    made = driver.submit_admin(0x01, prp1=sq, cdw10=255 << 16 | 2, cdw11=1 << 16 | 1)
    assert made.status == SUCCESS
    for index in range(255):
        driver.poke(sq + 64 * index, driver.entry(FLUSH, nsid=1, cid=index))
    driver.doorbell(2, 0, 255)
    heads = {c.sq_head for c in pair.poll(consume=False)}
    assert max(heads) < 255
    driver.doorbell(1, 1, pair.head)
    seen = 3
    while seen < 255:
        found = pair.poll()
        assert found
        seen += len(found)
    assert seen == 255


@pytest.mark.parametrize("bad", [64, 0xFFFF])
@pytest.mark.parametrize("is_cq", [0, 1])
def test_a_doorbell_value_beyond_the_queue_is_ignored_and_reported(bad: int, is_cq: int) -> None:
    driver = Driver()
    driver.admin.put(driver.entry(0x0C, cid=0x77))
    driver.admin.ring()
    driver.doorbell(1, is_cq, bad)
    (event,) = driver.admin.poll()
    assert event.cid == 0x77
    assert event.dw0 == 0x00_01_01_00  # log page 1, info 1 (value), type 0 (error)
    assert driver.submit_io(FLUSH).status == SUCCESS


def test_a_doorbell_of_no_queue_is_reported() -> None:
    driver = Driver()
    driver.admin.put(driver.entry(0x0C, cid=0x78))
    driver.admin.ring()
    driver.doorbell(9, 0, 1)
    (event,) = driver.admin.poll()
    assert (event.cid, event.dw0) == (0x78, 0x00_01_00_00)  # info 0: register


def test_a_head_beyond_what_was_posted_is_refused() -> None:
    driver = Driver()
    driver.doorbell(1, 1, 5)
    assert "head 5" in driver.model.notes[-1]
    assert driver.submit_io(FLUSH).status == SUCCESS


def test_without_an_event_request_a_bad_doorbell_is_only_noted() -> None:
    driver = Driver()
    driver.doorbell(1, 0, 64)
    driver.admin.put(driver.entry(0x0C))
    driver.admin.ring()
    assert driver.admin.poll() == []


@pytest.mark.parametrize("width", [1, 2, 8])
def test_doorbells_are_written_with_4_bytes(width: int) -> None:
    driver = Driver()
    driver.io[1].put(driver.entry(FLUSH, nsid=1))
    driver.model.bar_write(0, 0x1008, width, 1)
    assert driver.io[1].poll() == []
    assert "undefined write" in driver.model.notes[-1]


@pytest.mark.parametrize("dstrd", ["0", "1", "5"])
def test_doorbell_stride(dstrd: str) -> None:
    driver = Driver(dstrd=dstrd, queues=3)
    assert driver.submit(driver.io[3], FLUSH, nsid=1).status == SUCCESS
    if dstrd != "0":
        driver.model.bar_write(0, 0x1004, 4, 1)
        assert "undefined write" in driver.model.notes[-1]


def test_queues_are_deleted_in_order_and_can_be_made_again() -> None:
    driver = Driver()
    in_use = driver.submit_admin(0x04, cdw10=1)
    assert in_use.status == 0x10C
    assert not in_use.dnr
    assert driver.submit_admin(0x00, cdw10=1).status == SUCCESS
    assert driver.submit_admin(0x04, cdw10=1).status == SUCCESS
    driver.create_pair(1, 8)
    assert driver.submit_io(FLUSH).status == SUCCESS


def test_deleting_a_queue_ends_what_it_holds() -> None:
    driver = Driver()
    driver.model.hooks.hold()
    pair = driver.io[1]
    for cid in (5, 6):
        pair.put(driver.entry(FLUSH, nsid=1, cid=cid))
    pair.ring()
    driver.model.hooks._holds.clear()  # the delete command itself is not to be held
    assert driver.submit_admin(0x00, cdw10=1).status == SUCCESS
    assert [(c.cid, c.status) for c in pair.poll()] == [(5, 0x008), (6, 0x008)]
    assert driver.model.hooks.release() == 0


def test_completions_without_room_are_lost_with_their_queue() -> None:
    driver = Driver(queues=0)
    pair = driver.create_pair(1, 4)
    sq = driver.alloc(32 * 64)
    driver.submit_admin(0x01, prp1=sq, cdw10=31 << 16 | 2, cdw11=1 << 16 | 1)
    for index in range(10):
        driver.poke(sq + 64 * index, driver.entry(FLUSH, nsid=1, cid=index))
    driver.doorbell(2, 0, 10)
    assert driver.submit_admin(0x00, cdw10=2).status == SUCCESS
    assert len(pair.poll()) == 3
    assert pair.poll() == []
    assert driver.submit(pair, FLUSH, nsid=1).status == SUCCESS


# --- interrupts ------------------------------------------------------------------------


def test_msix_uses_the_vector_of_the_queue() -> None:
    driver = Driver(queues=0)
    driver.create_pair(1, 8, vector=7)
    driver.host.irqs.clear()
    driver.submit_io(FLUSH)
    assert driver.host.take_irqs(IrqKind.MSIX) == [7]


def test_one_interrupt_for_a_batch() -> None:
    driver = Driver()
    driver.host.irqs.clear()
    for _ in range(10):
        driver.io[1].put(driver.entry(FLUSH, nsid=1))
    driver.io[1].ring()
    assert driver.host.take_irqs(IrqKind.MSIX) == [1]


def test_a_queue_without_interrupts_is_silent() -> None:
    driver = Driver(queues=0)
    cq, sq = driver.alloc(4096), driver.alloc(4096)
    driver.submit_admin(0x05, prp1=cq, cdw10=7 << 16 | 1, cdw11=1)  # IEN clear
    driver.submit_admin(0x01, prp1=sq, cdw10=7 << 16 | 1, cdw11=1 << 16 | 1)
    driver.host.irqs.clear()
    driver.poke(sq, driver.entry(FLUSH, nsid=1))
    driver.doorbell(1, 0, 1)
    assert driver.peek(cq + 14, 2) == b"\x01\x00"
    assert driver.host.irqs == []


def test_the_pin_stays_asserted_until_the_queue_is_read() -> None:
    driver = Driver()
    pair = driver.io[1]
    assert not driver.host.intx_level
    for _ in range(2):
        pair.put(driver.entry(FLUSH, nsid=1))
    pair.ring()
    assert driver.host.intx_level
    driver.doorbell(1, 1, 1)
    assert driver.host.intx_level, "one entry is left"
    driver.doorbell(1, 1, 2)
    assert not driver.host.intx_level


def test_the_mask_hides_pin_and_msi_until_it_is_opened() -> None:
    driver = Driver(queues=0, msi="8")
    pair = driver.create_pair(1, 8, vector=3)
    driver.host.irqs.clear()
    driver.w32(0x0C, 1 << 3)
    pair.put(driver.entry(FLUSH, nsid=1))
    pair.ring()
    assert not driver.host.intx_level
    assert driver.host.take_irqs(IrqKind.MSI) == []
    driver.w32(0x10, 1 << 3)
    assert driver.host.intx_level
    assert driver.host.take_irqs(IrqKind.MSI) == [3]
    pair.poll()
    assert not driver.host.intx_level


def test_without_msi_no_message_is_sent() -> None:
    driver = Driver(msi="0")
    driver.host.irqs.clear()
    driver.submit_io(FLUSH)
    assert driver.host.take_irqs(IrqKind.MSI) == []
    assert driver.model.msi_vectors == 0


def test_deleting_a_queue_that_was_not_read_lowers_the_pin() -> None:
    driver = Driver()
    pair = driver.io[1]
    pair.put(driver.entry(FLUSH, nsid=1))
    pair.ring()
    driver.submit_admin(0x00, cdw10=1)
    driver.submit_admin(0x04, cdw10=1)
    assert not driver.host.intx_level


def test_a_new_phase_is_written_after_the_rest_of_the_entry() -> None:
    driver = Driver()
    pair = driver.io[1]
    seen = []
    plain = driver.host.dma_write

    def watched(iova: int, data: bytes) -> None:
        plain(iova, data)
        if pair.cq <= iova < pair.cq + 16 * pair.size:
            entry = driver.peek(pair.cq, 16)
            seen.append((entry[:12], entry[14] & 1))

    driver.host.dma_write = watched  # type: ignore[method-assign,assignment]
    pair.put(driver.entry(FLUSH, nsid=1, cid=9))
    pair.ring()
    assert [phase for _, phase in seen] == [0, 1]
    assert seen[0][0] == seen[1][0]
