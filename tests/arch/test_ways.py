"""The ways to device memory: exact accesses in each, and what a failure keeps.

On s390x the instructions and system calls are emulated (mio/README.md), which counts them: a run
in which the core made its accesses in another way fails here.
"""

from __future__ import annotations

import errno
import signal

import pytest

from tests.arch.architectures import Architecture
from tests.arch.conftest import Harness, HarnessOf

OK, FAULT, REFUSED, CLOSED, TIMEOUT, AGAIN, ERRNO, MIO = range(8)
LOAD_BIT, MIO_BIT, SYSCALL_BIT = 1, 2, 4
NO_STATUS = -1
# The cell of 16 bytes holds so many places of each width.
EVERY_PLACE = {"1": 16, "2": 8, "4": 4, "8": 2}
NOTHING: dict[str, dict[str, int]] = {
    name: {} for name in ("PCILGI", "PCISTGI", "PCISTBI", "PCIWB", "353", "352")
}


@pytest.mark.usefixtures("device")
class TestEveryWay:
    def test_what_is_not_one_access_is_refused_and_touches_nothing(self, harness: Harness) -> None:
        for line in harness.run("ways_refused").good:
            assert (line["load"], line["store"]) == (REFUSED, REFUSED), line
            assert (line["from"], line["to"], line["moved"]) == (REFUSED, REFUSED, 0), line
            assert line["cell"] == "55" * 16

    def test_combined_write_brings_every_byte_and_no_other(self, harness: Harness) -> None:
        lines = harness.run("ways_combined").good
        assert [line["size"] for line in lines] == [8, 16, 120, 128, 136, 512]
        for line in lines:
            assert (line["error"], line["moved"]) == (OK, line["size"])
            assert (line["is_same"], line["before"], line["behind"]) == (1, 0, 0)

    def test_combined_write_that_fails_tells_how_much_it_moved(self, harness: Harness) -> None:
        misaligned, odd, protected, closed = harness.run("ways_combined_failures").good
        assert (misaligned["error"], misaligned["moved"]) == (REFUSED, 0)
        assert (odd["error"], odd["moved"]) == (REFUSED, 0)
        assert protected["error"] == (ERRNO if harness.way == "syscall" else FAULT)
        assert (protected["moved"], protected["failed"]) == (256, 1)
        assert (closed["error"], closed["moved"], closed["users"]) == (CLOSED, 0, 0)


class TestOffered:
    def test_pci_memory_takes_loads_but_on_s390x(
        self, arch: Architecture, harness: Harness
    ) -> None:
        wanted = SYSCALL_BIT if arch.name == "s390x" else LOAD_BIT  # qemu-user has no instructions
        assert harness.run("ways_offered").only == {"ways": wanted}

    @pytest.mark.parametrize(("hwcap", "ways"), [("1", MIO_BIT | SYSCALL_BIT), ("0", SYSCALL_BIT)])
    def test_the_hwcap_bit_decides(
        self, s390x: Architecture, harness_of: HarnessOf, hwcap: str, ways: int
    ) -> None:
        outcome = harness_of(s390x, "mio").run("ways_offered", MIO_HWCAP=hwcap)
        assert outcome.only == {"ways": ways}


class TestExecuted:
    """What the emulator decoded is exactly what was asked for."""

    @pytest.mark.parametrize(
        ("way", "load", "store"), [("mio", "PCILGI", "PCISTGI"), ("syscall", "353", "352")]
    )
    def test_each_access_is_one_of_its_width(
        self, s390x: Architecture, harness_of: HarnessOf, way: str, load: str, store: str
    ) -> None:
        harness = harness_of(s390x, way)
        assert harness.run("loads").executed == {**NOTHING, load: EVERY_PLACE}
        # each store is read back
        assert harness.run("stores").executed == {**NOTHING, load: EVERY_PLACE, store: EVERY_PLACE}

    def test_a_copy_is_as_many_accesses_of_its_width(
        self, s390x: Architecture, harness_of: HarnessOf
    ) -> None:
        executed = harness_of(s390x, "mio").run("copies").executed
        assert executed["PCILGI"] == {"1": 24, "2": 12, "4": 6, "8": 3}
        assert executed["PCISTGI"] == {"1": 16, "2": 8, "4": 4, "8": 2}

    def test_a_combined_write_is_store_blocks_that_cross_no_page_and_then_the_barrier(
        self, s390x: Architecture, harness_of: HarnessOf
    ) -> None:
        executed = harness_of(s390x, "mio").run("ways_combined").executed
        # from 24 bytes before a page: 8, 16, 24+96, 24+104, 24+112, 24+128+128+128+104
        blocks = {"16": 1, "24": 4, "96": 1, "104": 2, "112": 1, "128": 3}
        assert executed == {**NOTHING, "PCISTGI": {"8": 1}, "PCISTBI": blocks, "PCIWB": {"0": 6}}

    def test_a_combined_write_by_system_calls_is_calls_of_8_bytes(
        self, s390x: Architecture, harness_of: HarnessOf
    ) -> None:
        executed = harness_of(s390x, "syscall").run("ways_combined", MIO_HWCAP="0").executed
        assert executed == {**NOTHING, "352": {"8": (8 + 16 + 120 + 128 + 136 + 512) // 8}}

    def test_ordinary_loads_and_stores_take_neither(
        self, s390x: Architecture, harness_of: HarnessOf
    ) -> None:
        emulated = harness_of(s390x, "mio")
        plain = Harness(s390x, emulated.program, "load", emulated.emulator)
        assert plain.run("loads").executed == NOTHING


class TestFailures:
    """Five accesses in a row, the fourth a write; one of them fails as injected."""

    @pytest.mark.parametrize("turn", [2, 4])
    @pytest.mark.parametrize(("cc", "status"), [(1, 8), (2, 0), (3, 255)])
    def test_a_condition_code_is_an_error_with_its_status(
        self, s390x: Architecture, harness_of: HarnessOf, turn: int, cc: int, status: int
    ) -> None:
        harness = harness_of(s390x, "mio")
        lines = harness.run("ways_row", MIO_INJECT=f"{turn} {cc} {status}").good
        assert [line["error"] for line in lines] == [MIO if i == turn else OK for i in range(1, 6)]
        bad = lines[turn - 1]
        assert (bad["cc"], bad["status"], bad["offset"]) == (cc, status, 8)
        assert (bad["signal"], bad["number"], bad["errno"]) == (0, 0, 4711)
        assert bad["value"] in (0, 0x8192A3B4C5D6E7F8)  # what the instruction left is not data

    @pytest.mark.parametrize("turn", [2, 4])
    @pytest.mark.parametrize("number", [errno.ENXIO, errno.EINVAL, errno.EACCES, errno.EFAULT])
    def test_an_errno_is_kept(
        self, s390x: Architecture, harness_of: HarnessOf, turn: int, number: int
    ) -> None:
        harness = harness_of(s390x, "syscall")
        lines = harness.run("ways_row", MIO_INJECT_CALL=f"{turn} {-number}").good
        wanted = [ERRNO if i == turn else OK for i in range(1, 6)]
        assert [line["error"] for line in lines] == wanted
        bad = lines[turn - 1]
        assert (bad["number"], bad["cc"], bad["offset"]) == (number, 0, 8)
        assert (bad["signal"], bad["errno"]) == (0, 4711)

    @pytest.mark.parametrize("cc", [1, 2, 3])
    def test_a_positive_result_of_a_system_call_is_a_condition_code(
        self, s390x: Architecture, harness_of: HarnessOf, cc: int
    ) -> None:
        lines = harness_of(s390x, "syscall").run("ways_row", MIO_INJECT_CALL=f"2 {cc}").good
        assert [line["error"] for line in lines] == [OK, MIO, OK, OK, OK]
        assert (lines[1]["cc"], lines[1]["status"]) == (cc, NO_STATUS)
        assert lines[1]["value"] == 0

    def test_a_machine_without_the_instructions_is_a_fault_and_no_data(
        self, s390x: Architecture, harness_of: HarnessOf
    ) -> None:
        for line in harness_of(s390x, "mio", is_emulated=False).run("ways_row").good:
            assert (line["error"], line["signal"]) == (FAULT, signal.SIGILL)

    def test_a_kernel_without_the_system_calls_is_an_errno(
        self, s390x: Architecture, harness_of: HarnessOf
    ) -> None:
        for line in harness_of(s390x, "syscall", is_emulated=False).run("ways_row").good:
            assert (line["error"], line["number"]) == (ERRNO, errno.ENOSYS)

    @pytest.mark.parametrize(
        ("way", "injected", "seen"),
        [
            ("mio", {"MIO_INJECT": "1 2 4"}, (MIO, 0, 2, 4)),
            ("syscall", {"MIO_INJECT_CALL": "1 1"}, (MIO, 0, 1, NO_STATUS)),
            ("syscall", {"MIO_INJECT_CALL": f"1 {-errno.ENXIO}"}, (ERRNO, errno.ENXIO, 0, 0)),
        ],
    )
    def test_a_doorbell_keeps_why_it_failed(
        self,
        s390x: Architecture,
        harness_of: HarnessOf,
        way: str,
        injected: dict[str, str],
        seen: tuple[int, int, int, int],
    ) -> None:
        first, *_ = harness_of(s390x, way).run("doorbell_mapped", **injected).good
        assert (first["error"], first["errno"], first["cc"], first["status"]) == seen
        assert first["bytes"] == "ee" * 12

    @pytest.mark.parametrize(
        ("way", "injected", "seen"),
        [
            ("mio", {"MIO_INJECT": "1 3 0"}, (MIO, 3, 0)),
            ("syscall", {"MIO_INJECT_CALL": f"1 {-errno.EINVAL}"}, (ERRNO, 0, errno.EINVAL)),
        ],
    )
    def test_a_wait_ends_with_the_failure(
        self,
        s390x: Architecture,
        harness_of: HarnessOf,
        way: str,
        injected: dict[str, str],
        seen: tuple[int, int, int],
    ) -> None:
        line = harness_of(s390x, way).run("ways_wait", **injected).only
        assert (line["error"], line["cc"], line["number"]) == seen
        assert line["users"] == 0
