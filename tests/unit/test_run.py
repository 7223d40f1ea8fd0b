"""The runner of the tiers: which tests are tried again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests import run

PYTEST = [sys.executable, "-m", "pytest", "-q", "tests/unit"]


def remember(root: Path, *names: str) -> Path:
    cache = root / ".pytest_cache/v/cache"
    cache.mkdir(parents=True)
    (cache / "lastfailed").write_text(json.dumps(dict.fromkeys(names, True)))
    return root


def test_only_tests_of_that_run_are_tried_again(tmp_path: Path) -> None:
    mine = "tests/unit/test_a.py::test_b[c/d]"
    root = remember(tmp_path, mine, "tests/unit_other/test_x.py::test", "tests/drivers/t.py::test")
    assert run.failed_tests(PYTEST, root) == [mine]


def test_a_file_that_cannot_be_collected_is_no_accident(tmp_path: Path) -> None:
    assert run.failed_tests(PYTEST, remember(tmp_path, "tests/unit/test_a.py")) == []


def test_other_commands_are_not_tried_again(tmp_path: Path) -> None:
    root = remember(tmp_path, "tests/unit/test_a.py::test_b")
    assert run.failed_tests(["mypy"], root) == []
    assert run.failed_tests(PYTEST, tmp_path / "nothing") == []


def tier_result(tmp_path: Path, monkeypatch, body: str) -> str:
    """Return what becomes of a tier with one file of tests."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_it.py").write_text(body)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run.failed_tests, "__defaults__", (tmp_path,))
    return run._run(run.Tier("it", ([*PYTEST[:-1], "tests"],), deadline_s=60))


ONCE = """
from pathlib import Path
def test_first_bad_then_good():
    mark = Path(__file__).with_name("mark")
    was_there = mark.exists()
    mark.touch()
    assert was_there
"""


def test_what_passes_alone_is_counted(tmp_path: Path, monkeypatch) -> None:
    result = tier_result(tmp_path, monkeypatch, ONCE)
    assert result == "passed, 1 at a second attempt"


def test_what_fails_again_has_failed(tmp_path: Path, monkeypatch) -> None:
    result = tier_result(tmp_path, monkeypatch, "def test_bad():\n    assert False\n")
    assert result.startswith("failed: ")


def test_many_failures_are_no_accident(tmp_path: Path, monkeypatch) -> None:
    many = "\n".join(
        ONCE.replace("good", f"good_{n}").replace('mark"', f'mark{n}"') for n in range(4)
    )
    assert tier_result(tmp_path, monkeypatch, many).startswith("failed: ")


def test_the_runner_refuses_unknown_names() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.run", "nonsense"],
        cwd=run.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "no such tier: nonsense" in done.stderr
