"""pymmio trace run: a program runs as always, and its devices are traced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pymmio
from pymmio.trace.reading import TraceFile, read
from tests.unit.cli.running import COMMAND, DEADLINE_S, assert_fails, run, run_process

PROGRAM = """
import sys
import pymmio
print("arguments", sys.argv[1:], __name__)
with pymmio.open_device("sim:edu") as device:
    print(hex(device.region(0).read32(0)))
    if sys.argv[1:] == ["raise"]:
        raise RuntimeError("as it is")
    if sys.argv[1:] == ["refuse"]:
        device.region(0).read32(1)
sys.exit(int(sys.argv[1]) if sys.argv[1:] else None)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(path: str) -> TraceFile:
    with open(path, "rb") as file:
        return read(file, path)


def traced(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run in a process: the program may end it."""
    return run_process("trace", "run", *arguments)


def test_text_goes_to_standard_error_with_names() -> None:
    result = traced("--", "program.py", "0")
    assert result.returncode == 0
    assert result.stdout == "arguments ['0'] __main__\n0x10000ed\n"
    assert "BAR0.Identification read32 = 0x10000ed (magic=0xed major=1)" in result.stderr


def test_the_exit_status_is_the_program_s() -> None:
    assert traced("--", "program.py", "7").returncode == 7
    assert traced("--", "program.py").returncode == 0


def test_an_exception_is_shown_as_always_and_the_trace_is_whole() -> None:
    result = traced("--out", "trace.jsonl", "--", "program.py", "raise")
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith('  File "')
    assert "program.py" in lines[1]
    assert "RuntimeError: as it is" in lines
    assert found("trace.jsonl").is_complete


def test_what_the_library_raises_is_an_exception_of_the_program() -> None:
    result = traced("--out", "trace.jsonl", "--", "program.py", "refuse")
    assert result.returncode == 1
    assert "Misaligned" in result.stderr
    assert any("Misaligned" in (getattr(e, "error", "") or "") for e in found("trace.jsonl").events)


def test_a_module_runs_too(here: Path) -> None:
    result = traced("--out", "trace.jsonl", "--", "-m", "program", "3")
    assert result.returncode == 3
    assert "arguments ['3'] __main__" in result.stdout
    assert found("trace.jsonl").device.name == "sim:edu"


def test_commands_of_pymmio_run_too() -> None:
    result = run(
        "trace", "run", "--out", "trace.json", "--", "pymmio", "peek", "sim:edu", "bar0", "0",
        "--width", "32",
    )  # fmt: skip
    assert result.exit_code == 0
    assert result.stdout == "0x010000ed\n"
    assert any(
        e["name"] == "read32 Identification" for e in json.loads(Path("trace.json").read_text())
    )


def test_a_command_that_fails_fails_with_its_status() -> None:
    result = run("trace", "run", "--", "pymmio", "peek", "sim:none", "bar0", "0", "--width", "32")
    assert result.exit_code == 4
    assert "there is no device model" in result.stderr


def test_a_recording_of_a_command_plays() -> None:
    arguments = ("nvme", "read", "sim:nvme", "--lba", "0", "--blocks", "1")
    result = run(
        "trace", "run", "--format", "record", "--out", "s.jsonl", "--", "pymmio", *arguments
    )
    assert result.exit_code == 0, result.stderr
    again = run(*("sim:replay?file=s.jsonl" if a == "sim:nvme" else a for a in arguments))
    assert again.exit_code == 0, again.stderr
    assert again.stdout == result.stdout


def test_each_device_has_a_file_of_its_own(here: Path) -> None:
    (here / "two.py").write_text(
        "import pymmio\n"
        "with pymmio.open_device('sim:edu'), pymmio.open_device('sim:nvme'):\n    pass\n"
    )
    result = traced("--out", "trace.jsonl", "--", "two.py")
    assert result.returncode == 0
    assert found("trace.jsonl").device.name == "sim:edu"
    assert found("trace-2.jsonl").device.name == "sim:nvme"
    assert result.stderr.splitlines() == [
        "pymmio: sim:edu: trace.jsonl", "pymmio: sim:nvme: trace-2.jsonl",
    ]  # fmt: skip


def test_a_device_that_is_left_open_has_a_whole_file(here: Path) -> None:
    (here / "careless.py").write_text(
        "import pymmio\ndevice = pymmio.open_device('sim:edu')\ndevice.region(0).read32(0)\n"
    )
    assert traced("--out", "trace.jsonl", "--", "careless.py").returncode == 0
    assert found("trace.jsonl").is_complete


def test_what_a_killed_program_recorded_can_be_read(here: Path) -> None:
    (here / "killed.py").write_text(
        "import os, signal, pymmio\n"
        "device = pymmio.open_device('sim:edu')\n"
        "device.region(0).read32(0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = traced("--format", "record", "--out", "s.jsonl", "--", "killed.py")
    assert result.returncode == -9
    events = found("s.jsonl").events
    assert events[-1].kind == "read"
    assert not found("s.jsonl").is_complete


def test_a_limit_is_kept() -> None:
    run("trace", "run", "--limit", "3", "--out", "t.jsonl", "--", "pymmio", "config", "sim:edu")
    assert len(found("t.jsonl").events) == 3
    assert found("t.jsonl").lost > 0


def test_text_may_go_to_a_file() -> None:
    result = run("trace", "run", "--out", "trace.txt", "--", "pymmio", "config", "sim:edu")
    assert result.exit_code == 0
    assert "config.COMMAND read16" in Path("trace.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "what shall run?"),
        (("--format", "record", "--", "program.py"), "--format record needs --out FILE"),
        (("--limit", "3", "--", "program.py"), "--limit is not for --format text"),
        (("--", "nothing.py"), "there is no script 'nothing.py'"),
        (("--", "-m"), "-m needs the name of a module"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], message: str) -> None:
    assert_fails(run("trace", "run", *arguments), 2, message)


def test_a_file_that_cannot_be_written_is_told_before_the_program_runs() -> None:
    result = run("trace", "run", "--out", "no/such/t.jsonl", "--", "program.py")
    assert_fails(result, 2, "--out no/such/t.jsonl: there is no such folder")
    assert result.stdout == ""


def test_the_file_is_where_the_command_was_given(here: Path) -> None:
    (here / "elsewhere").mkdir()
    (here / "moving.py").write_text("import os\nos.chdir('elsewhere')\n" + PROGRAM)
    result = traced("--out", "t.jsonl", "--", "moving.py")
    assert result.returncode == 0
    assert result.stderr.endswith("sim:edu: t.jsonl\n")
    assert found("t.jsonl").device.uri == "sim:edu"


def test_a_program_without_devices_has_no_file(here: Path) -> None:
    (here / "idle.py").write_text("print('idle')")
    result = run("trace", "run", "--out", "t.jsonl", "--", "idle.py")
    assert result.exit_code == 0
    assert "no device was opened: t.jsonl was not written" in result.stderr
    assert not (here / "t.jsonl").exists()


def test_arguments_and_path_are_given_back() -> None:
    before = sys.argv[:], sys.path[:]
    run("trace", "run", "--", "program.py", "1")
    assert (sys.argv, sys.path) == before
    with pymmio.open_device("sim:edu") as device:
        assert "Recorded" not in type(device.region(0)).__name__


def test_the_program_keeps_its_standard_input() -> None:
    code = "import sys; print(sys.stdin.read().upper())"
    Path("shout.py").write_text(code)
    result = subprocess.run(
        [*COMMAND, "trace", "run", "--", "shout.py"],
        input="quiet",
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=dict(os.environ),
        check=True,
    )
    assert result.stdout == "QUIET\n"
