"""``pymmio nvme format``: asks, or takes --yes; what it does then."""

from __future__ import annotations

import pytest

from tests.unit.cli.nvme.conftest import Disk
from tests.unit.cli.running import (
    assert_fails,
    json_of,
    output,
    plain,
    run,
    run_on_terminal,
)


def test_formats_that_there_are() -> None:
    title, *rows = output("nvme", "format", "sim:nvme", "--list").splitlines()
    assert title.split() == ["lbaf", "block", "size", "metadata", "performance", "state"]
    assert rows[0].split() == ["0", "512", "B", "-", "best", "in", "use"]
    found = json_of("nvme", "format", "sim:nvme", "--list")["formats"]
    assert [one["block_size"] for one in found] == [512, 4096]


def test_a_list_changes_nothing_and_asks_nobody(disk: Disk) -> None:
    json_of("nvme", "format", disk.uri, "--list")
    assert disk.is_untouched


@pytest.mark.parametrize("choice", [("--lbaf", "1"), ("--block-size", "4K")])
def test_another_block_size(choice: tuple[str, str]) -> None:
    found = json_of("nvme", "format", "sim:nvme", *choice)
    assert found["format"]["block_size"] == 4096
    assert found["erase"] == "none"


def test_yes_erases_the_blocks(disk: Disk) -> None:
    json_of("nvme", "format", disk.uri, "--erase", "user", "--yes")
    assert not any(disk.path.read_bytes())


@pytest.mark.usefixtures("must_not_open")
def test_nothing_is_opened_where_nobody_can_be_asked(disk: Disk) -> None:
    assert_fails(run("nvme", "format", disk.uri), 2, "nothing was touched", "--yes")
    assert disk.is_untouched


@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_a_person_who_does_not_say_yes_keeps_the_data(disk: Disk, typed: str) -> None:
    code, shown = run_on_terminal("nvme", "format", disk.uri, typed=typed, columns=300)
    assert code == 2
    text = plain(shown)
    assert "All data of namespace 1 (4 MiB) of pymmio NVMe model PYMMIO0001" in text
    assert "the answer was no: nothing was changed" in text
    assert disk.is_untouched


def test_a_person_who_says_yes_is_shown_the_format(disk: Disk) -> None:
    code, shown = run_on_terminal("nvme", "format", disk.uri, "--block-size", "4K", typed="y\n")
    assert code == 0
    assert "in use" in shown
    assert not any(disk.path.read_bytes())


def test_ctrl_c_at_the_question_keeps_the_data(disk: Disk) -> None:
    code, shown = run_on_terminal("nvme", "format", disk.uri, interrupt_at="Go on?")
    assert code == 130
    assert "Traceback" not in shown
    assert disk.is_untouched


def test_the_question_says_when_all_namespaces_are_formatted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pymmio.cli.nvme.format import _question
    from pymmio_drivers.nvme import Controller, Erase, IdentifyController

    with Controller.open("sim:nvme?ns=2&size=1M") as controller:
        assert "namespace 1 (1 MiB)" in _question(controller, 1, Erase.NONE)
        data = bytearray(controller.identity.pack())
        data[524] = 1  # FNA: formats apply to all namespaces
        identity = IdentifyController.parse(bytes(data))
        monkeypatch.setattr(Controller, "identity", identity)
        assert "ALL 2 namespaces" in _question(controller, 1, Erase.NONE)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("--lbaf", "7"), 2, "0 (512 bytes)"),
        (("--block-size", "2K"), 2, "512, 4096"),
        (("--erase", "crypto"), 1, "cryptographic"),
        (("-n", "5"), 4, "no active namespace 5"),
        (("--lbaf", "1", "--block-size", "512"), 2, "not both"),
        (("--lbaf", "64"), 2, "--lbaf"),
        (("--timeout", "0"), 2, "--timeout"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments: tuple[str, ...], code: int, word: str) -> None:
    assert_fails(run("nvme", "format", "sim:nvme", *arguments), code, word)
