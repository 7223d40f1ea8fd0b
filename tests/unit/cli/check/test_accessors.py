"""``pymmio check accessors``: what it prints, what it takes, how it ends."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from pymmio.arch import _core
from pymmio.check.accessors import _recorder
from tests.unit.cli.running import assert_fails, json_of, run

pytest.importorskip("capstone")
here = pytest.mark.skipif(
    platform.machine() != "x86_64", reason=f"{platform.machine()} is proven by the arch tests"
)
VERDICTS = {"exact", "split", "repeated", "torn", "unproven"}


@here
def test_pymmio_is_exact_and_scripts_can_rely_on_the_names() -> None:
    rows = json_of("check", "accessors", "--subject", "pymmio", "--width", "4")
    own = [row for row in rows if row["subject"] == "pymmio"]
    assert [(row["direction"], row["width"], row["arch"]) for row in own] == [
        ("read", 4, "x86_64"),
        ("write", 4, "x86_64"),
    ]
    for row in rows:
        assert {"subject", "arch", "width", "static", "dynamic", "verdict"} <= set(row)
        assert {row["static"], row["dynamic"], row["verdict"]} <= VERDICTS
        assert row["control"] == (row["subject"] != "pymmio")
    assert {row["verdict"] for row in own} == {"exact"}


@here
def test_a_subject_that_breaks_the_rule_ends_with_1() -> None:
    result = run("check", "accessors", "--subject", "glibc memcpy", "--width", "7")
    assert result.exit_code == 1
    (line,) = (line for line in result.stdout.splitlines() if "read" in line)
    assert line.split()[:7] == ["glibc", "memcpy", "read", "7", "unproven", "repeated", "unproven"]
    assert "read 4 at +0, read 4 at +3" in line


def test_the_table_of_a_shared_object_is_shown() -> None:
    rows = json_of("check", "accessors", "--object", _core.__file__, "--width", "8")
    assert {row["direction"] for row in rows} == {"read", "write"}
    for row in rows:
        assert (row["static"], row["verdict"]) == ("exact", "unproven")
        assert "only the file was looked at" in row["detail"]


def test_a_table_without_records_ends_with_1() -> None:
    result = run("check", "accessors", "--object", _recorder.__file__)
    assert result.exit_code == 1
    assert "no record" in result.stdout


@here
@pytest.mark.parametrize(
    ("symbol", "options", "code"),
    [
        ("pm_plain_read32", (), 0),
        ("pm_plain_write32", ("--write",), 0),
        ("pm_plain_write32", (), 1),  # it writes where it was said to read
        ("pm_bytewise_read32", (), 1),
    ],
)
def test_a_function_of_a_shared_object(symbol: str, options: tuple[str, ...], code: int) -> None:
    result = run(
        *("check", "accessors", "--object", _recorder.__file__, "--symbol", symbol),
        *("--width", "4", *options),
    )
    assert result.exit_code == code, result.stdout
    assert symbol in result.stdout


@here
def test_a_function_of_python() -> None:
    target = "tests.unit.check.accessors.callables:poke_after_reading"
    result = run("check", "accessors", "--callable", target, "--width", "4", "--write")
    assert result.exit_code == 1
    assert "read 4 at +0, write 4 at +0" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--subject", "memcpy"), "glibc memcpy"),
        (("--subject", "numpy", "--callable", "a:b"), "one of"),
        (("--symbol", "f"), "belongs to --object"),
        (("--write",), "belongs to"),
        (("--object", _recorder.__file__, "--symbol", "pm_plain_read32"), "one --width"),
        (("--object", "/nonexistent.so"), "nonexistent"),
        (("--width", "0"), "--width"),
        (("--object", _recorder.__file__, "--symbol", "nothing", "--width", "4"), "nothing"),
        (("--object", _recorder.__file__, "--symbol", "pm_mark", "--width", "3"), "width 3"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], words: str) -> None:
    assert_fails(run("check", "accessors", *arguments), 2, words)


def test_a_file_that_is_no_library_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "x.so"
    text.write_text("text")
    assert_fails(run("check", "accessors", "--object", str(text)), 2, "no ELF file")
