"""Parts of the run end, whatever their tests leave behind."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from tests import again
from tests.bigendian import run

LEAVES_A_PROCESS = """
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "import sys, time; time.sleep(600)"])
print(left.pid)
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Return this Python where a stage has one."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "project").mkdir()
    script = tmp_path / "bin/python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return script


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_output_and_status_are_those_of_the_process(python: Path) -> None:
    said = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    status, output = run._captured(python, ["-c", said])
    assert (status, sorted(output.split())) == (3, ["err", "out"])


def test_what_is_left_behind_does_not_hold_up_the_run(python: Path) -> None:
    status, output = run._captured(python, ["-c", LEAVES_A_PROCESS])
    assert status == 0
    deadline = time.monotonic() + 60
    while is_running(int(output)):
        assert time.monotonic() < deadline
        os.sched_yield()


def test_a_part_that_takes_too_long_says_so(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "DEADLINE_S", 3.0)
    wait = "print('waiting', flush=True); import time; time.sleep(600)"
    status, output = run._captured(python, ["-c", wait])
    assert (status, output) == (None, "waiting\n\nmore than 3 s")


def test_parts_have_every_test_once_and_are_about_as_long(tmp_path: Path) -> None:
    root = Path(run.__file__).resolve().parents[2]
    paths = [root / name for part in run.parts(root) if not part.way for name in part.arguments]
    files = [f for p in paths for f in ([p] if p.is_file() else p.rglob("test_*.py"))]
    suite = {f for folder in run.SUITE for f in (root / folder).rglob("test_*.py")}
    assert suite <= set(files)
    assert len(files) == len(set(files))


# --- what a run of several parts comes to ---------------------------------------------------

GOOD, BAD = run.Part(("good",)), run.Part(("bad",))
FORCED = run.Part(("bad",), way="mio")


def shown(
    monkeypatch: pytest.MonkeyPatch, cache: Path, parts: list[run.Part], *, status: int | None
) -> int:
    """Have the parts called "bad" end with ``status``, and one test that failed."""

    def outcome(python: Path, part: run.Part, own: Path) -> run.Outcome:
        if "good" in part.arguments:
            return run.Outcome(0, "1 passed", 0.0)
        again.remember(own, ["tests/unit/test_a.py::test_b"])
        return run.Outcome(status, "1 failed", 0.0)

    monkeypatch.setattr(run, "_outcome", outcome)
    return run._show(Path("/a/b/c/python"), parts, cache)


def test_tests_that_failed_may_be_run_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(monkeypatch, tmp_path, [GOOD], status=0) == 0
    assert again.worth_another_run(1, tmp_path) == []
    assert shown(monkeypatch, tmp_path, [GOOD, BAD], status=1) == 1
    assert again.worth_another_run(1, tmp_path) == ["tests/unit/test_a.py::test_b"]


@pytest.mark.parametrize(
    ("part", "status"), [(BAD, 3), (BAD, None), (BAD, -9), (FORCED, 1), (FORCED, 3)]
)
def test_what_is_more_than_a_failed_test_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: run.Part, status: int | None
) -> None:
    assert shown(monkeypatch, tmp_path, [GOOD, part], status=status) == run.OTHERWISE_BAD
    assert again.worth_another_run(1, tmp_path) == []
