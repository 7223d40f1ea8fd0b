"""Copies of plain memory and writing caches back, executed on each architecture."""

from __future__ import annotations

import signal

import pytest

from tests.arch.architectures import Architecture
from tests.arch.conftest import Harness

OK, FAULT, REFUSED = 0, 1, 2
NONE, NOT_NEEDED = 0, 9  # PM_WB_*
KINDS = {  # of pymmio/arch/persist.h, that an emulated or real processor may have
    "x86_64": {1, 2, 3},
    "aarch64": {4, 5},
    "ppc64le": {6, 7},
    "riscv64": {NONE, 8},
    "s390x": {NOT_NEEDED},
}


@pytest.fixture(autouse=True)
def processor(arch: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take an aarch64 without DC CVAP: qemu-user (7.2) has it in AT_HWCAP and refuses it."""
    if arch.name == "aarch64" and not arch.is_native:
        monkeypatch.setenv("QEMU_CPU", "cortex-a72")


@pytest.mark.usefixtures("arch")
class TestCopies:
    def test_every_byte_is_copied_and_no_other(self, harness: Harness) -> None:
        lines = harness.run("plain_copies").good
        assert len(lines) == 10 * 3 * 2
        for line in lines:
            assert (line["copy"], line["fill"]) == (OK, OK), line
            assert line["copied"] == line["filled"] == line["size"]
            assert (line["is_same"], line["is_zero"], line["edges"]) == (1, 1, 1), line

    @pytest.mark.parametrize(
        ("kind", "number"), [("truncated", signal.SIGBUS), ("protected", signal.SIGSEGV)]
    )
    def test_a_bad_page_ends_them_at_its_first_byte(
        self, harness: Harness, arch: Architecture, kind: str, number: int
    ) -> None:
        if arch.name == "s390x" and kind == "truncated":
            # qemu-user tells no address with this signal (README.md), so it is nobody's.
            assert harness.run("plain_truncated").status == -signal.SIGBUS
            return
        lines = harness.run(f"plain_{kind}").good
        assert len(lines) == 6 * 2
        for line in lines:
            assert (line["from"], line["to"], line["fill"]) == (FAULT, FAULT, FAULT), line
            moved = (line["from_moved"], line["to_moved"], line["filled"])
            assert moved == (line["expected"],) * 3, line
            assert line["signal"] == number


@pytest.mark.usefixtures("arch")
class TestWriteBack:
    def test_the_instruction_is_one_of_the_architecture(
        self, harness: Harness, arch: Architecture
    ) -> None:
        line = harness.run("plain_write_back").only
        assert line["kind"] in KINDS[arch.name]
        assert line["line"] >= 16
        assert line["line"] & (line["line"] - 1) == 0

    def test_it_changes_nothing_and_bad_memory_is_a_result(self, harness: Harness) -> None:
        line = harness.run("plain_write_back").only
        assert line["kept"] == "11" * 8
        if line["kind"] == NONE:
            assert (line["whole"], line["bad"]) == (REFUSED, REFUSED)
        else:
            assert (line["whole"], line["nothing"]) == (OK, OK)
        if line["bad"] == FAULT:  # an emulator that keeps no caches may take it for nothing
            assert line["where"] in range(line["line"])
