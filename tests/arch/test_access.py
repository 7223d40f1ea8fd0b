"""Single accesses, copies, waits and doorbells of the C core, executed on each architecture."""

from __future__ import annotations

import errno
import signal
from typing import Any

import pytest

from tests.arch.conftest import Harness

OK, FAULT, REFUSED, CLOSED, TIMEOUT, AGAIN, ERRNO, MIO = range(8)
PATTERN = bytes.fromhex("8192a3b4c5d6e7f8")  # as a number, most significant byte first
CELL = bytes(0xF0 - 7 * i for i in range(16))
WIDTHS = (1, 2, 4, 8)


def each_place(lines: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(line["width"], line["offset"]) for line in lines]


EVERY_PLACE = [(width, offset) for width in WIDTHS for offset in range(0, 16, width)]


def in_memory(width: int, byteorder: str) -> bytes:
    """The low ``width`` bytes of the pattern as they lie in memory."""
    low = PATTERN[-width:]
    return low if byteorder == "big" else low[::-1]


def failure(harness: Harness) -> int:
    """What an access returns where nothing answers."""
    return ERRNO if harness.way == "syscall" else FAULT


@pytest.mark.usefixtures("device")
class TestSingleAccess:
    def test_loads_give_the_bytes_at_the_place_in_host_order(self, harness: Harness) -> None:
        lines = harness.run("loads").good
        assert each_place(lines) == EVERY_PLACE
        for line in lines:
            bytes_ = CELL[line["offset"] :][: line["width"]]
            assert line["error"] == OK
            assert line["value"] == int.from_bytes(bytes_, harness.arch.byteorder)
            assert bytes.fromhex(line["cell"]) == CELL

    def test_stores_change_the_bytes_at_the_place_and_no_others(self, harness: Harness) -> None:
        lines = harness.run("stores").good
        assert each_place(lines) == EVERY_PLACE
        for line in lines:
            width, offset = line["width"], line["offset"]
            stored = in_memory(width, harness.arch.byteorder)
            assert line["error"] == OK
            assert bytes.fromhex(line["cell"]) == CELL[:offset] + stored + CELL[offset + width :]

    def test_what_was_stored_is_read_back(self, harness: Harness) -> None:
        for line in harness.run("stores").good:
            assert line["back_error"] == OK
            assert line["back"] == int.from_bytes(PATTERN[-line["width"] :], "big")

    def test_open_mapping_is_read_and_written(self, harness: Harness) -> None:
        lines = [line for line in harness.run("mapped").good if not line["closing"]]
        assert [line["width"] for line in lines] == list(WIDTHS)
        for line in lines:
            width = line["width"]
            stored = in_memory(width, harness.arch.byteorder)
            assert (line["read"], line["write"], line["users"]) == (OK, OK, 0)
            assert line["value"] == int.from_bytes(PATTERN[-width:], "big")
            assert bytes.fromhex(line["cell"]) == CELL[:8] + stored + CELL[8 + width :]


@pytest.mark.usefixtures("arch")
class TestEverywhere:
    def test_closing_mapping_is_neither_read_nor_written(self, harness: Harness) -> None:
        lines = [line for line in harness.run("mapped").good if line["closing"]]
        assert len(lines) == len(WIDTHS)
        for line in lines:
            assert (line["read"], line["write"], line["users"]) == (CLOSED, CLOSED, 0)
            assert bytes.fromhex(line["cell"]) == CELL

    def test_barriers_are_instructions_that_user_space_may_use(self, harness: Harness) -> None:
        assert harness.run("barriers").good == []

    def test_copies_of_a_closed_mapping_move_nothing(self, harness: Harness) -> None:
        assert harness.run("copies_closed").only == {
            "from": CLOSED,
            "from_moved": 0,
            "to": CLOSED,
            "to_moved": 0,
            "user": "ee" * 16,
            "device": "00" * 16,
            "users": 0,
        }

    def test_doorbell_by_system_call_writes_four_bytes_in_the_order_asked(
        self, harness: Harness
    ) -> None:
        lines = {line["way"]: line for line in harness.run("doorbell_syscall").good}
        value = (0x01020304).to_bytes(4, harness.arch.byteorder).hex()
        swapped = (0x04030201).to_bytes(4, harness.arch.byteorder).hex()
        assert lines["straight"]["bytes"] == "ee" * 4 + value + "ee" * 4
        assert lines["swapped"]["bytes"] == "ee" * 4 + swapped + "ee" * 4
        assert (lines["straight"]["error"], lines["straight"]["rings"]) == (OK, 1)

    def test_doorbell_by_system_call_keeps_the_errno(self, harness: Harness) -> None:
        lines = {line["way"]: line for line in harness.run("doorbell_syscall").good}
        bad = lines["bad descriptor"]
        assert (bad["error"], bad["errno"]) == (ERRNO, errno.EBADF)
        assert lines["no descriptor"]["error"] == CLOSED

    def test_doorbell_for_python_keeps_the_latest_value(self, harness: Harness) -> None:
        first, second = harness.run("doorbell_python").good
        assert (first["error"], first["pending"], first["has_pending"]) == (OK, 5, 1)
        assert (second["error"], second["pending"], second["has_pending"]) == (OK, 6, 1)
        assert second["rings"] == 2

    def test_closed_doorbell_touches_nothing(self, harness: Harness) -> None:
        lines = {line["way"]: line for line in harness.run("doorbell_mapped").good}
        for way in ("closing", "closed"):
            assert lines[way]["error"] == CLOSED
            assert lines[way]["bytes"] == "ee" * 12


@pytest.mark.usefixtures("device")
class TestDoorbells:
    def test_mapped_doorbell_stores_32_bits_in_the_order_asked(self, harness: Harness) -> None:
        lines = {line["way"]: line for line in harness.run("doorbell_mapped").good}
        assert (lines["straight"]["error"], lines["swapped"]["error"]) == (OK, OK)
        value = (0x01020304).to_bytes(4, harness.arch.byteorder).hex()
        swapped = (0x04030201).to_bytes(4, harness.arch.byteorder).hex()
        assert lines["straight"]["bytes"] == "ee" * 4 + value + "ee" * 4
        assert lines["swapped"]["bytes"] == "ee" * 4 + swapped + "ee" * 4

    def test_doorbell_of_a_mapping_that_is_gone_reports_the_fault(self, harness: Harness) -> None:
        rung, fault = harness.run("doorbell_fault").good
        assert rung["error"] == failure(harness)
        assert fault["users"] == 0
        if harness.way == "syscall":
            assert (rung["errno"], fault["signal"]) == (errno.EINVAL, 0)
        else:
            assert fault["signal"] == signal.SIGBUS
            if harness.arch.name != "s390x":  # where qemu-user gives a wrong address
                assert fault["address"] == 8


@pytest.mark.usefixtures("device")
class TestCopies:
    def test_copies_keep_the_order_of_bytes_in_every_width(self, harness: Harness) -> None:
        lines = harness.run("copies").good
        assert [line["width"] for line in lines] == list(WIDTHS)
        device = bytes(range(1, 49))
        user = b"\xee" + device[8:32] + b"\xee"  # from offset 8, to an odd address
        for line in lines:
            assert (line["from"], line["from_moved"]) == (OK, 24)
            assert (line["to"], line["to_moved"]) == (OK, 16)
            assert bytes.fromhex(line["user"]) == user
            assert bytes.fromhex(line["device"]) == device[:16] + user[3:19] + device[32:40]
            assert line["users"] == 0

    def test_copy_that_faults_tells_how_much_it_moved(self, harness: Harness) -> None:
        lines = harness.run("copies_into_protected").good
        assert [line["width"] for line in lines] == [w for w in WIDTHS for _ in range(2)]
        for line in lines:
            assert (line["error"], line["moved"]) == (failure(harness), 24)
            assert line["address"] == 0
            assert line["users"] == 0
            if line["way"] == "from":
                assert line["user"] == "55" * 24 + "ee" * 8


@pytest.mark.usefixtures("faulting_device")
class TestCopiesThatClose:
    def test_copy_that_is_closed_counts_each_access_it_made(self, harness: Harness) -> None:
        copied_from, copied_to = harness.run("copies_closing_between").good
        assert (copied_from["error"], copied_from["moved"]) == (CLOSED, 12)
        assert copied_from["bytes"] == "55" * 12 + "ee" * 20
        assert (copied_to["error"], copied_to["moved"]) == (CLOSED, 12)
        assert copied_to["bytes"] == "ee" * 12 + "55" * 20


@pytest.mark.usefixtures("device")
class TestWaits:
    @pytest.mark.parametrize(
        ("wait", "error", "last"),
        [
            ("match", OK, 0x12345678),
            ("match swapped", OK, 0x78563412),
            ("match although too late", OK, 0x12345678),
            ("deadline", TIMEOUT, 0x12345678),
            ("slice", AGAIN, 0x12345678),
        ],
    )
    def test_wait_ends_with_the_last_value(
        self, harness: Harness, wait: str, error: int, last: int
    ) -> None:
        lines = {line["wait"]: line for line in harness.run("wait_ends").good}
        assert (lines[wait]["error"], lines[wait]["last"]) == (error, last)
        assert lines[wait]["users"] == 0

    def test_wait_does_not_time_out_before_its_deadline(self, harness: Harness) -> None:
        lines = {line["wait"]: line for line in harness.run("wait_ends").good}
        assert lines["deadline"]["is_late"] == 1

    def test_wait_on_a_closed_mapping_reads_nothing(self, harness: Harness) -> None:
        lines = {line["wait"]: line for line in harness.run("wait_ends").good}
        closed = lines["closed before"]
        assert (closed["error"], closed["last"]) == (CLOSED, int.from_bytes(PATTERN, "big"))

    def test_wait_reads_in_each_width_and_byte_order(self, harness: Harness) -> None:
        lines = harness.run("wait_every_width").good
        assert len(lines) == 2 * len(WIDTHS)
        for line in lines:
            memory = bytes(range(0x81, 0x89))[: line["width"]]
            other = "big" if harness.arch.byteorder == "little" else "little"
            order: Any = other if line["swap"] else harness.arch.byteorder
            assert (line["error"], line["last"]) == (OK, int.from_bytes(memory, order))

    def test_wait_sees_what_another_thread_writes(self, harness: Harness) -> None:
        line = harness.run("wait_written_meanwhile").only
        assert (line["error"], line["last"], line["users"]) == (OK, 7, 0)

    def test_wait_ends_when_another_thread_closes(self, harness: Harness) -> None:
        line = harness.run("wait_closed_meanwhile").only
        assert (line["error"], line["users"]) == (CLOSED, 0)

    def test_wait_on_a_mapping_that_is_gone_reports_the_fault(self, harness: Harness) -> None:
        line, fault = harness.run("wait_fault").good
        assert (line["error"], line["users"]) == (failure(harness), 0)
        assert fault == {"address": 0}
