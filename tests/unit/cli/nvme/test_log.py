"""``pymmio nvme log``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio_drivers.nvme import Controller, ErrorLogEntry
from tests.unit.cli.running import assert_fails, assert_one_line, json_of, output, run


def test_an_empty_error_log_is_said() -> None:
    result = run("nvme", "log", "sim:nvme", "error")
    assert (result.exit_code, result.stdout) == (0, "")
    assert_one_line(result.stderr, "no error in its log")
    assert json_of("nvme", "log", "sim:nvme", "error")["errors"] == []


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening resets the controller, which forgets its errors: let some be there."""
    from pymmio_drivers.nvme.admin import Admin

    def entry(count: int, sqid: int, status: int, location: int, lba: int, nsid: int) -> bytes:
        fields = (
            (count, 8), (sqid, 2), (0x12, 2), (status << 1, 2), (location, 2), (lba, 8), (nsid, 4),
        )  # fmt: skip
        return b"".join(value.to_bytes(size, "little") for value, size in fields).ljust(64, b"\0")

    data = entry(7, 1, 0x80, 0x28 | 3 << 8, 99, 1), entry(6, 0, 0x02, 0xFFFF, 0, 0xFFFFFFFF)
    found = tuple(ErrorLogEntry.parse(one) for one in data)
    monkeypatch.setattr(Admin, "error_log", lambda self, entries: found)


@pytest.mark.usefixtures("errors")
def test_errors_have_names() -> None:
    head, *rows = output("nvme", "log", "sim:nvme", "error").splitlines()
    assert head.split() == ["count", "queue", "command", "nsid", "status", "at", "byte", "lba"]
    assert rows[0].split() == [
        "7",
        "1",
        "0x12",
        "1",
        "LBA",
        "Out",
        "of",
        "Range",
        "40,",
        "bit",
        "3",
        "99",
    ]
    assert rows[1].split() == ["6", "0", "0x12", "-", "Invalid", "Field", "in", "Command", "-", "-"]


@pytest.mark.usefixtures("errors")
def test_errors_as_json() -> None:
    first = json_of("nvme", "log", "sim:nvme", "error")["errors"][0]
    assert (first["error_count"], first["lba"], first["status_name"]) == (7, 99, "LBA Out of Range")


def test_smart_is_the_same_as_its_command() -> None:
    assert output("nvme", "log", "sim:nvme", "smart") == output("nvme", "smart", "sim:nvme")
    assert json_of("nvme", "log", "sim:nvme", "smart") == json_of("nvme", "smart", "sim:nvme")


def test_firmware_slots() -> None:
    assert output("nvme", "log", "sim:nvme", "firmware").splitlines()[1].split() == [
        "1",
        "1.0",
        "running",
    ]
    assert json_of("nvme", "log", "sim:nvme", "firmware")["active_slot"] == 1


def test_changed_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json_of("nvme", "log", "sim:nvme", "changed")["changed"] == []
    from pymmio_drivers.nvme.admin import Admin

    monkeypatch.setattr(Admin, "changed_namespaces", lambda self: (2, 5))
    assert output("nvme", "log", "sim:nvme", "changed").split()[-2:] == ["2", "5"]
    monkeypatch.setattr(Admin, "changed_namespaces", lambda self: None)
    assert_one_line(run("nvme", "log", "sim:nvme", "changed").stderr, "more than 1024")


def test_commands_with_what_they_change() -> None:
    rows = output("nvme", "log", "sim:nvme", "commands").splitlines()
    assert "admin  80      format nvm           logical blocks" in rows
    assert "I/O    02      read                 -" in rows


def test_supported_pages() -> None:
    text = output("nvme", "log", "sim:nvme?version=2.0", "supported")
    assert "02  smart" in text
    assert_fails(run("nvme", "log", "sim:nvme", "supported"), 1, "Invalid Log Page")


def test_bytes_of_a_page_from_an_offset() -> None:
    whole = json_of("nvme", "log", "sim:nvme", "smart", "--raw")
    assert len(whole["data"]) == 1024
    part = json_of("nvme", "log", "sim:nvme", "2", "--offset", "0x70", "--size", "16")
    assert part["data"] == whole["data"][0xE0:0x100]
    line = output("nvme", "log", "sim:nvme", "smart", "--offset", "0x70", "--size", "16")
    assert line.startswith("00000070: 01 00 00 00")


def test_bytes_into_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    found = json_of("nvme", "log", "sim:nvme", "firmware", "--output", str(path))
    assert (found["bytes"], path.stat().st_size) == (512, 512)
    assert path.read_bytes()[8:11] == b"1.0"


def test_a_page_that_there_is_not_is_an_error() -> None:
    assert_fails(run("nvme", "log", "sim:nvme", "0xca"), 1, "Invalid Log Page")
    assert_fails(run("nvme", "log", "sim:nvme", "smart", "--offset", "1K"), 1, "Invalid Field")


@pytest.mark.usefixtures("must_not_open")
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("toaster",), "firmware"),
        (("0x100",), "0x100"),
        (("smart", "--offset", "2"), "multiple of 4"),
        (("smart", "--size", "0"), "multiple of 4"),
        (("smart", "--json", "--output", "-"), "standard output"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], word: str) -> None:
    assert_fails(run("nvme", "log", "sim:nvme", *arguments), 2, word)


def test_the_numbers_of_the_pages_are_those_of_the_driver() -> None:
    from pymmio.cli.nvme.log import PAGES
    from pymmio.cli.nvme.log_pages import SHOW
    from pymmio_drivers.nvme import LogId

    assert sorted(PAGES.values()) == sorted(map(int, LogId)) == sorted(SHOW)
    assert PAGES["error"] == LogId.ERROR_INFORMATION
    assert Controller is not None
