"""The command itself: help, version, what is imported when, what becomes of errors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import click
import pytest

import pymmio
from pymmio.cli.app import cli
from pymmio.cli.nvme import nvme
from tests.unit.cli.running import (
    COMMAND,
    DEADLINE_S,
    assert_fails,
    assert_one_line,
    output,
    run,
    run_on_terminal,
    run_process,
)

COMMANDS = cli.list_commands(click.Context(cli))
NVME_COMMANDS = nvme.list_commands(click.Context(nvme))
GROUPS = [("nvme",), ("check",), ("trace",), ("pmem",), ("shm",), ("ivshmem",)]
NO_JSON = [*GROUPS, ("serve",), ("completion",)]  # one runs until it is ended, one is a script


def test_the_commands_of_this_page_are_there() -> None:
    assert {"list", "config", "caps", "regs", "peek", "poke", "nvme", "completion"} <= {*COMMANDS}
    management = {"smart", "log", "features", "format", "abort", "reset"}
    assert {"identify", "list", "read", "write", "flush", "bench", "demo"} <= {*NVME_COMMANDS}
    assert management <= {*NVME_COMMANDS}


def test_help_lists_all_commands_with_a_line_each() -> None:
    text = output("--help")
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S.*[^.]\.$", text, re.MULTILINE), name


def test_help_of_nvme_lists_all_commands_with_a_line_each() -> None:
    text = output("nvme", "--help")
    for name in NVME_COMMANDS:
        assert re.search(rf"^  {name} +\S.*[^.]\.$", text, re.MULTILINE), name


@pytest.mark.parametrize("path", [*((c,) for c in COMMANDS), *(("nvme", c) for c in NVME_COMMANDS)])
def test_each_command_has_help_with_examples(path: tuple[str, ...]) -> None:
    text = output(*path, "--help")
    assert f"Usage: pymmio {' '.join(path)}" in text
    assert re.search(rf"Examples?:\n.*pymmio {' '.join(path)}", text)


@pytest.mark.parametrize("path", [*((c,) for c in COMMANDS), *(("nvme", c) for c in NVME_COMMANDS)])
def test_each_command_that_tells_something_has_json(path: tuple[str, ...]) -> None:
    if path not in NO_JSON:
        assert "--json" in output(*path, "--help")


def test_version() -> None:
    assert output("--version") == f"pymmio, version {pymmio.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["nvme", "--help"], ["--version"]])
def test_help_imports_no_more_than_click(arguments: list[str]) -> None:
    code = f"""
import atexit, sys
from pymmio.cli import main
heavy = ("rich", "cffi", "_cffi_backend", "pyudev", "pymmio_drivers", "pymmio.device",
         "pymmio.arch", "pymmio.pci", "pymmio.errors")
def look():
    found = [name for name in sys.modules if name.startswith(heavy)]
    print("FOUND", found)
atexit.register(look)
sys.argv = ["pymmio", *{arguments!r}]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert done.stdout.endswith("FOUND []\n")


def test_a_command_loads_no_other_command() -> None:
    code = """
import atexit, sys
from pymmio.cli import main
atexit.register(lambda: print([m for m in sys.modules if m.startswith("pymmio.cli.")]))
sys.argv = ["pymmio", "peek", "sim:edu", "bar0", "0", "--width", "32"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert "pymmio.cli.peek" in done.stdout
    assert "pymmio.cli.nvme" not in done.stdout
    assert "pymmio.cli.list" not in done.stdout


def test_no_arguments_show_the_help() -> None:
    result = run()
    assert result.exit_code == 2
    assert "Commands:" in result.stderr


def test_a_wrong_command_is_told_with_the_right_ones() -> None:
    assert_fails(run("pek"), 2, "'pek'", "peek", "nvme")


def test_a_wrong_command_of_a_group_is_told_with_the_right_ones() -> None:
    assert_fails(run("nvme", "idetify"), 2, "pymmio nvme:", "identify")


def test_a_wrong_option_is_one_line() -> None:
    assert_fails(run("list", "--jsno"), 2, "pymmio list:", "--jsno", "pymmio list --help")


@pytest.mark.parametrize(
    ("uri", "code", "words"),
    [
        ("edu", 2, "not a device URI"),
        ("sim:", 2, "names no device"),
        ("nowhere:edu", 2, "no backend"),
        ("sim:toaster", 4, "no device model"),
        ("sim:edu?colour=red", 2, "colour"),
        ("vfio:ffff:1f:00.0", 4, "ffff:1f:00.0"),
        ("vfio:first", 2, "first"),
    ],
)
def test_a_uri_that_names_nothing_is_one_line(uri: str, code: int, words: str) -> None:
    assert_fails(run("config", uri), code, words)


def test_without_standalone_mode_errors_are_raised() -> None:
    with pytest.raises(pymmio.PymmioError):
        cli.main(["config", "edu"], prog_name="pymmio", standalone_mode=False)


def test_main_of_the_module_is_the_command() -> None:
    done = run_process("peek", "sim:edu", "bar0", "0", "--width", "32")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0x010000ed\n", "")


def test_an_error_of_a_process_is_one_line() -> None:
    done = run_process("peek", "sim:edu", "bar0", "1", "--width", "32")
    assert done.returncode == 2
    assert done.stdout == ""
    assert_one_line(done.stderr, "0x1")


def test_the_traceback_is_shown_on_request() -> None:
    done = run_process("config", "edu", PYMMIO_TRACEBACK="1")
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("pymmio: 'edu' is not a device URI")


def test_the_policy_refuses_before_the_device_is_touched(tmp_path: object) -> None:
    allow = os.path.join(str(tmp_path), "allow")
    with open(allow, "w", encoding="utf-8") as file:
        file.write("sim:nvme\n")
    done = run_process(
        "peek", "sim:edu", "bar0", "0", "--width", "32", "--trace", PYMMIO_ALLOW_FILE=allow
    )
    assert done.returncode == 3
    assert_one_line(done.stderr, "sim:edu is refused")


def test_ctrl_c_ends_with_130_and_without_a_word() -> None:
    process = subprocess.Popen(
        [*COMMAND, "nvme", "bench", "sim:nvme", "--seconds", "600", "--trace"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "+0x1008 write32" in line:  # the doorbell of the first I/O queue: it runs
                break
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert stdout == ""
    words = [
        line for line in stderr.splitlines() if line and not re.match(r" *\d+\.\d+ sim:", line)
    ]
    assert words == []


def test_a_reader_that_went_away_is_no_error() -> None:
    process = subprocess.Popen(
        [*COMMAND, "nvme", "read", "sim:nvme", "--lba", "0", "--blocks", "4K", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        stderr = process.stderr.read()
        code = process.wait(DEADLINE_S)
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    assert code == 141
    assert stderr == b""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line(unbuffered: str) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [*COMMAND, "config", "sim:edu"],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    assert done.returncode == 1
    assert_one_line(done.stderr, "No space left on device")


def test_tables_fit_a_narrow_terminal() -> None:
    code, shown = run_on_terminal("caps", "sim:nvme", columns=60)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert code == 0
    assert "╭" in plain
    assert max(map(len, plain.splitlines())) <= 60


def test_an_error_on_a_terminal_is_plain_text() -> None:
    code, shown = run_on_terminal("config", "edu", columns=200)
    assert code == 2
    assert "\x1b" not in shown
    assert shown.count("\n") == 1
