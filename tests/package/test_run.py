"""The runner of the tiers: what runs beside what, and which tests are tried again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import again, run
from tests.tiers import ROOT, TIERS, Step, Tier

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:randomly")


def remember(cache: Path, *names: str) -> Path:
    folder = cache / "v/cache"
    folder.mkdir(parents=True)
    (folder / "lastfailed").write_text(json.dumps(dict.fromkeys(names, True)))
    return cache


# --- what is tried again -------------------------------------------------------------------


def test_a_few_tests_are_tried_again(tmp_path: Path) -> None:
    name = "tests/unit/test_a.py::test_b[c/d]"
    assert again.worth_another_run(1, remember(tmp_path, name)) == [name]


@pytest.mark.parametrize(
    ("status", "names"),
    [
        (0, ["t.py::a"]),  # left from another run
        (2, ["t.py::a"]),  # interrupted
        (1, ["t.py"]),  # cannot be collected
        (1, [f"t.py::{n}" for n in range(4)]),
        (1, []),
        (None, ["t.py::a"]),  # took too long
    ],
)
def test_what_is_no_accident_is_not(tmp_path: Path, status: int, names: list[str]) -> None:
    assert again.worth_another_run(status, remember(tmp_path, *names)) == []


def test_without_a_memory_nothing_is_tried_again(tmp_path: Path) -> None:
    assert again.worth_another_run(1, tmp_path) == []
    again.forget(tmp_path)
    remember(tmp_path, "t.py::a")
    again.forget(tmp_path)
    assert again.worth_another_run(1, tmp_path) == []


def tier_result(root: Path, body: str, *later: Step) -> run.Result:
    """Return what becomes of a tier with one file of tests, and further steps."""
    (root / "tests").mkdir()
    (root / "tests/test_it.py").write_text(body)
    (root / "pytest.ini").write_text("[pytest]\n")
    tier = Tier("it", (Step(PYTEST, ("tests",)), *later), deadline_s=60)
    result = run.TierRun(tier, root / "log", root).run()
    run.TierRun(tier, root / "log", root).run_again(result)
    return result


ONCE = """
from pathlib import Path
def test_first_bad_then_good():
    mark = Path(__file__).with_name("mark")
    was_there = mark.exists()
    mark.touch()
    assert was_there
"""


def test_what_passes_alone_is_counted(tmp_path: Path) -> None:
    result = tier_result(tmp_path, ONCE, Step((sys.executable, "-c", "print('the next step')")))
    assert result.text == "passed, 1 at a second attempt"
    log = (tmp_path / "log").read_text()
    assert "1 failed" in log
    assert "1 passed" in log
    assert "the next step" in log


def test_what_fails_again_has_failed(tmp_path: Path) -> None:
    result = tier_result(tmp_path, "def test_bad():\n    assert False\n")
    assert result.text.startswith("failed: ")
    assert result.text.endswith(" ended with 1")


def test_many_failures_are_no_accident(tmp_path: Path) -> None:
    many = "\n".join(
        ONCE.replace("good", f"good_{n}").replace('mark"', f'mark{n}"') for n in range(4)
    )
    assert tier_result(tmp_path, many).text.startswith("failed: ")


def test_a_tier_ends_with_the_first_step_that_fails(tmp_path: Path) -> None:
    ends, never = (Step((sys.executable, "-c", code)) for code in ("exit(7)", "print('never')"))
    result = tier_result(tmp_path, "def test_good(): pass\n", ends, never)
    assert result.text.endswith(" ended with 7")
    assert "never" not in (tmp_path / "log").read_text()


def test_a_step_has_a_deadline(tmp_path: Path) -> None:
    slow = Step((sys.executable, "-c", "import time; time.sleep(600)"))
    result = run.TierRun(Tier("it", (slow,), deadline_s=1), tmp_path / "log", tmp_path).run()
    assert result.text.endswith(" took more than 1 s")


def test_a_tier_that_cannot_run_is_skipped_with_the_reason(tmp_path: Path) -> None:
    tier = Tier("it", (Step(("false",)),), lambda: "no compiler")
    assert run.TierRun(tier, root=tmp_path).run().text == "skipped: no compiler"


# --- what runs beside what -------------------------------------------------------------------

MEETS = """
import pathlib, sys, time
here, mine, *others = map(pathlib.Path, sys.argv[1:])
(here / mine).touch()
limit = time.monotonic() + 30
while not all((here / other).exists() for other in others):
    if time.monotonic() > limit: sys.exit("alone")
    time.sleep(0.01)
print(mine, "met", *others)
"""


def meeting(here: Path, name: str, *others: str, cores: float = 1.0, seconds: int = 1) -> Tier:
    """Return a tier that ends well only if those others have begun."""
    step = Step((sys.executable, "-c", MEETS, str(here), name, *others))
    return Tier(name, (step,), cores=cores, seconds=seconds)


def test_tiers_that_fit_run_side_by_side(tmp_path: Path, capfd) -> None:
    tiers = [
        meeting(tmp_path, "whole", "a", "b", "c", cores=2),
        meeting(tmp_path, "a", "b", "c", seconds=50),
        meeting(tmp_path, "b", "a", "c", cores=0.5, seconds=50),
        meeting(tmp_path, "c", "a", "b", cores=0.5, seconds=50),
    ]
    results = list(run.side_by_side(tiers, 2.0))
    assert [result.text for result in results] == ["passed"] * 4
    assert results[-1].tier.name == "whole"
    shown = capfd.readouterr().out
    assert "=== a\na met b c\n" in shown
    assert shown.index("--- whole has begun") > shown.index("=== c")


def test_the_longest_begins_and_one_that_needs_more_than_there_is_runs_alone(
    tmp_path: Path,
) -> None:
    tiers = [meeting(tmp_path, "small", "large"), meeting(tmp_path, "large", cores=8, seconds=9)]
    assert [one.tier.name for one in run.side_by_side(tiers, 2.0)] == ["large", "small"]


def test_no_tier_needs_more_processors_than_ci_has() -> None:
    assert all(0 < tier.cores <= 2 for tier in TIERS)  # what CI has


# --- what the whole comes to -----------------------------------------------------------------

PASSES, FAILS = (Step((sys.executable, "-c", f"exit({n})")) for n in (0, 1))


def whole(monkeypatch: pytest.MonkeyPatch, *tiers: Tier, ci: bool = False) -> int:
    monkeypatch.setattr(run, "TIERS", tiers)
    monkeypatch.setattr(run, "IS_CI", ci)
    return run.main([])


@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_table_ends_the_run(monkeypatch, capsys, one_by_one: bool) -> None:
    monkeypatch.setenv("SIDE_BY_SIDE", "0" if one_by_one else "1")
    first, last = Tier("first", (PASSES,)), Tier("last", (PASSES,), seconds=99)
    assert whole(monkeypatch, first, last) == 0
    table = capsys.readouterr().out.rpartition("tier  ")[2].splitlines()
    assert [line.split()[0] for line in table] == ["seconds", "first", "last", "all"]
    assert [line.split()[2] for line in table[1:3]] == ["passed", "passed"]


def test_a_tier_that_failed_is_the_status(monkeypatch) -> None:
    assert whole(monkeypatch, Tier("good", (PASSES,)), Tier("bad", (FAILS,))) == 1


def test_byte_code_is_kept_whatever_the_environment_says(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    writes = Step((sys.executable, "-c", "import sys; exit(sys.dont_write_bytecode)"))
    assert whole(monkeypatch, Tier("it", (writes,))) == 0


def test_what_failed_is_told_after_the_table(monkeypatch, tmp_path: Path, capsys) -> None:
    (tmp_path / "test_it.py").write_text("def test_bad():\n    assert 4 == 5\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    tests = Step((*PYTEST, str(tmp_path)))
    says = Step((sys.executable, "-c", "print('wanted a cup'); exit(3)"))
    assert whole(monkeypatch, Tier("good", (PASSES,)), Tier("it", (tests,)), Tier("cup", (says,)))
    end = capsys.readouterr().out.rpartition("\nall  ")[2]
    assert "\nit, from its output above:\nE       assert 4 == 5\nFAILED " in end
    assert "\ncup, from its output above:\nwanted a cup\n" in end
    assert "good" not in end


def test_only_the_step_that_failed_is_told(tmp_path: Path) -> None:
    ends = Step((sys.executable, "-c", "print('wanted a cup'); exit(3)"))
    assert tier_result(tmp_path, ONCE, ends).excerpt == ["wanted a cup"]


def test_what_fails_again_is_told(tmp_path: Path) -> None:
    result = tier_result(tmp_path, "def test_bad():\n    assert False\n")
    assert result.excerpt == ["FAILED tests/test_it.py::test_bad"]


def test_an_excerpt_is_short() -> None:
    names = [f"FAILED t.py::{n}" for n in range(12)]
    assert run.excerpt(["=== FAILURES", *names]) == [*names[:10], "and 2 more"]


def test_a_tier_that_was_skipped_counts_only_in_ci(monkeypatch, capsys) -> None:
    tiers = Tier("good", (PASSES,)), Tier("odd", (PASSES,), lambda: "no compiler")
    assert whole(monkeypatch, *tiers) == 0
    assert whole(monkeypatch, *tiers, ci=True) == 1
    assert "skipped: no compiler" in capsys.readouterr().out


def test_a_tier_that_cannot_be_started_leaves_the_others(monkeypatch, capsys) -> None:
    missing = Tier("missing", (Step(("/no/such/program",)),))
    assert whole(monkeypatch, missing, Tier("good", (PASSES,))) == 1
    shown = capsys.readouterr().out
    assert "failed: [Errno 2]" in shown
    assert "passed" in shown


def test_ctrl_c_lets_nothing_begin_any_more(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys, threading
from pathlib import Path
from tests import run
from tests.tiers import Step, Tier
here = Path({str(tmp_path)!r})
def prepare():
    os.killpg(0, signal.SIGINT)
    run._stopped.wait(60)
def late():
    (here / "prepared").touch()
mark = Step((sys.executable, "-c", f"open({{str(here / 'ran')!r}}, 'w')"))
run.TIERS = (Tier("a", (mark,), prepare, seconds=99), Tier("b", (mark,), late))
sys.exit(run.main([]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        start_new_session=True,
    )
    assert done.returncode == -signal.SIGINT, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_runner_refuses_unknown_names() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.run", "nonsense"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "no such tier: nonsense" in done.stderr
