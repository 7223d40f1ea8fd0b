"""Tables, columns, JSON, hex dumps."""

from __future__ import annotations

import contextlib
import enum
import json
from collections.abc import Callable

import pytest

from pymmio.cli import output
from pymmio.pci import PciAddress


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> object:
    return lambda: capsys.readouterr().out


def test_a_table_is_columns_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(("name", "size"), [("a", "1"), ("longer", "100"), ("", "")], right=("size",))
    assert capsys.readouterr().out == (
        "name    size\n"
        "a          1\n"
        "longer   100\n"
        "-          -\n"
    )  # fmt: skip


def test_columns_are_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(("name",), [("x" * 500,)], fold=("name",))
    assert capsys.readouterr().out == f"name\n{'x' * 500}\n"


def test_a_name_of_two_lines_is_one_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_table(("a", "reads\n4 KiB"), [("1", "2")])
    assert capsys.readouterr().out.splitlines()[0] == "a  reads, 4 KiB"


def test_markup_in_data_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.show_facts([("model", "[bold]x[/bold]")], title="about")
    assert capsys.readouterr().out == "about\nmodel  [bold]x[/bold]\n"


class Colour(enum.IntEnum):
    RED = 1


def test_json_of_what_the_library_returns(capsys: pytest.CaptureFixture[str]) -> None:
    class Thing:
        def as_dict(self) -> dict[str, int]:
            return {"x": 1}

    address = PciAddress.parse("0000:01:00.0")
    output.print_json(
        {"data": b"\x01\xff", "thing": [Thing()], "address": address, "colour": Colour.RED}
    )
    assert json.loads(capsys.readouterr().out) == {
        "data": "01ff",
        "thing": [{"x": 1}],
        "address": "0000:01:00.0",
        "colour": 1,
    }


def hex_of(pieces: list[bytes], capsys: pytest.CaptureFixture[str], base: int = 0) -> list[str]:
    output.print_hex(pieces, base=base)
    return capsys.readouterr().out.splitlines()


def test_hex_dump_shows_offsets_bytes_and_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert hex_of([b"pymmio\x00\xff" + bytes(range(0x78, 0x80)) + b"end"], capsys, 0x1000) == [
        "00001000: 70 79 6d 6d 69 6f 00 ff 78 79 7a 7b 7c 7d 7e 7f  pymmio..xyz{|}~.",
        "00001010: 65 6e 64                                         end",
    ]


def test_lines_that_repeat_are_one_star_over_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    zero = "00 " * 16 + " ................"
    lines = hex_of([bytes(64), bytes(32), b"\x01" * 16, b"\x01" * 16], capsys)
    assert lines == [
        f"00000000: {zero}",
        "*",
        f"00000060: {'01 ' * 16} ................",
        "*",
        "00000080:",
    ]


def test_two_stars_need_a_line_between(capsys: pytest.CaptureFixture[str]) -> None:
    lines = hex_of([bytes(32) + b"\x01" * 16 + bytes(32)], capsys)
    assert [line[:8] for line in lines] == [
        "00000000",
        "*",
        "00000020",
        "00000030",
        "*",
        "00000050",
    ]


def test_nothing_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert hex_of([], capsys) == []


def test_no_bar_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("reading", 100) as advance:
        advance(100)
    with output.progress_share("measuring") as share:
        assert share is None
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_note_is_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    output.note("done")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "pymmio: done\n")


def test_nobody_is_told_to_wait_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with output.waiting("waiting for a device"):
        pass
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("is_slow", [True, False])
def test_a_person_is_told_what_is_waited_for_if_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, is_slow: bool
) -> None:
    """The timer is the test's: it ends at once, or never."""
    told: list[str] = []

    class Console:
        def __init__(self, stderr: bool) -> None:
            assert stderr

        def status(self, text: str) -> contextlib.AbstractContextManager[None]:
            told.append(text)
            return contextlib.nullcontext()

    class Timer:
        def __init__(self, seconds: float, show: Callable[[], None]) -> None:
            self._show = show

        def start(self) -> None:
            if is_slow:
                self._show()

        def cancel(self) -> None:
            told.append("over")

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("rich.console.Console", Console)
    monkeypatch.setattr("threading.Timer", Timer)
    with output.waiting("waiting for a device"):
        pass
    assert told == (["waiting for a device ...", "over"] if is_slow else ["over"])


def test_lines_of_text_are_plain_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.text import Text

    output.print_lines([Text("[a]  ", style="bold"), Text("b")], title="[title]")
    assert capsys.readouterr().out == "[title]\n[a]\nb\n"
