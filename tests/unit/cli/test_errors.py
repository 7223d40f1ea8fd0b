"""Exit codes and the line that tells an error."""

from __future__ import annotations

import errno

import click
import pytest

from pymmio import errors
from pymmio.cli.errors import ExitCode, exit_code, report


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UriError("x"), 2),
        (errors.BadArgument("x"), 2),
        (errors.OutOfBounds("x"), 2),
        (errors.Misaligned("x"), 2),
        (errors.WidthRefused("x"), 2),
        (errors.ValueOutOfRange("x"), 2),
        (errors.ReadOnly("x"), 2),
        (click.UsageError("x"), 2),
        (click.BadParameter("x"), 2),
        (errors.PolicyRefused("x"), 3),
        (errors.PermissionRefused("x"), 3),
        (PermissionError(errno.EACCES, "Permission denied"), 3),
        (errors.DeviceNotFound("x"), 4),
        (errors.DeviceGone("x"), 4),
        (errors.DeviceTimeout("x"), 5),
        (TimeoutError("x"), 5),
        (errors.DeviceBusy("x"), 6),
        (errors.AccessFault("x"), 1),
        (errors.Unsupported("x"), 1),
        (errors.ProtocolError("x"), 1),
        (errors.BudgetExceeded("x"), 1),
        (errors.DeclarationError("x"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (click.ClickException("x"), 1),
        (KeyboardInterrupt(), 130),
        (click.exceptions.Abort(), 130),
        (KeyError("x"), 70),
        (AssertionError("x"), 70),
    ],
)
def test_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_codes_that_scripts_rely_on() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "FAILURE": 1,
        "USAGE": 2,
        "REFUSED": 3,
        "NOT_FOUND": 4,
        "TIMEOUT": 5,
        "BUSY": 6,
        "INTERNAL": 70,
        "INTERRUPTED": 130,
        "BROKEN_PIPE": 141,
    }


def reported(error: BaseException, capsys: pytest.CaptureFixture[str]) -> str:
    report(error)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_the_line_has_message_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.DeviceNotFound("no device 7", hint="Try 8")
    assert reported(error, capsys) == "pymmio: no device 7. Try 8\n"


def test_line_breaks_become_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(errors.ProtocolError("a\n  b"), capsys) == "pymmio: a b\n"


def test_notes_are_part_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.DeviceGone("gone")
    error.add_note("then, while closing x: also gone")
    assert reported(error, capsys) == "pymmio: gone; then, while closing x: also gone\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (click.UsageError("no such thing"), "pymmio: no such thing (see pymmio --help); busy\n"),
        (click.FileError("a", "no"), "pymmio: Could not open file 'a': no; busy\n"),
        (click.exceptions.Abort(), "pymmio: interrupted; busy\n"),
    ],
)
def test_notes_of_wrong_usage_are_part_of_the_line(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error.add_note("busy")
    assert reported(error, capsys) == line


def test_an_error_of_the_system_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", "disk.img")
    assert reported(error, capsys) == "pymmio: disk.img: No such file or directory\n"


def test_a_bug_is_told_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    line = reported(ZeroDivisionError("division by zero"), capsys)
    assert line.count("\n") == 1
    assert "internal error" in line
    assert "ZeroDivisionError: division by zero" in line
    assert "PYMMIO_TRACEBACK=1" in line


def test_ctrl_c_needs_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(KeyboardInterrupt(), capsys) == ""


@pytest.mark.parametrize("off", ["", "0"])
def test_no_traceback_if_switched_off(
    off: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYMMIO_TRACEBACK", off)
    assert "Traceback" not in reported(ZeroDivisionError(), capsys)


def test_what_fails_while_ctrl_c_is_obeyed_is_a_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        try:
            raise KeyboardInterrupt
        finally:
            raise errors.DeviceTimeout("no answer to the shutdown")
    except errors.DeviceTimeout as caught:
        error = caught
    assert exit_code(error) == 130
    assert reported(error, capsys) == "pymmio: no answer to the shutdown\n"
