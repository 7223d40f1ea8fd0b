"""Processes are followed under a deadline and end with whoever started them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from tests.guest.process import IF_PARENT, Stopped, line_process, run_logged

STARTER = """
from tests.guest.process import line_process
import signal
with line_process(["sleep", "1000"]) as child:
    print(child.process.pid, flush=True)
    signal.pause()
"""


def test_output_comes_in_lines_and_the_status_afterwards() -> None:
    script = "echo one; echo two >&2; printf three; exit 7"
    lines: list[str] = []
    with line_process(["sh", "-c", script]) as child:
        while (arrived := child.lines(10.0)) is not None:
            lines += arrived
        assert child.close() == 7
    assert lines == ["one", "two", "three"]


def test_leaving_the_block_ends_the_child() -> None:
    with pytest.raises(KeyboardInterrupt), line_process(["sleep", "1000"]) as child:
        raise KeyboardInterrupt
    assert child.process.returncode == -signal.SIGKILL


def test_child_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        pidfd = os.pidfd_open(int(starter.stdout.readline()))
        try:
            starter.kill()
            ended, _, _ = select.select([pidfd], [], [], 10.0)
        finally:
            os.close(pidfd)
    assert ended


def test_child_that_lost_its_parent_before_it_asked_for_the_signal_runs_nothing() -> None:
    orphan = ["sh", "-c", IF_PARENT, "1", "echo", "ran"]
    assert os.getpid() != 1
    assert subprocess.run(orphan, capture_output=True, timeout=10.0).stdout == b""
    child = [*orphan[:3], str(os.getpid()), "echo", "ran"]
    assert subprocess.run(child, capture_output=True, timeout=10.0).stdout == b"ran\n"


def test_command_past_its_deadline_is_stopped_and_logged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(Stopped, match="sh ran out of time"):
        run_logged(
            ["sh", "-c", "echo started; exec sleep 1000"],
            cwd=tmp_path,
            log=log,
            deadline=monotonic() + 0.3,
        )
    assert "started\n" in log.read_text()


def test_failing_command_shows_its_last_lines(tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="status 3\nno rule to make it"):
        run_logged(
            ["sh", "-c", "echo no rule to make it; exit 3"],
            cwd=tmp_path,
            log=tmp_path / "log",
            deadline=monotonic() + 10.0,
        )


def test_command_does_not_inherit_an_outer_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAKEFLAGS", "-j --jobserver-auth=3,4")
    seen: list[str] = []
    run_logged(
        ["env"],
        cwd=tmp_path,
        log=tmp_path / "log",
        deadline=monotonic() + 10.0,
        on_line=seen.append,
    )
    assert seen
    assert not [line for line in seen if line.startswith("MAKE")]
