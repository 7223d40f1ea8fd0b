"""Cases become pytest items; the guest is a fake here, so nothing is booted."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.guest import plugin
from tests.guest.case import CaseCall
from tests.guest.guest import Guest, GuestFailure, Run
from tests.guest.guests import GUESTS
from tests.guest.result import Outcome, Result

pytest_plugins = "pytester"

CASES = """
from tests.guest.case import case

def case_good(): pass
def case_bad(): pass
def case_absent(): pass
def helper(): pass

@case(guest=("default", "other"), params=("group", "cdev"))
def case_many(how): pass
"""


class FakeGuest:
    """Stands for tests.guest.guest.run: answers by function name, remembers the boots."""

    def __init__(self) -> None:
        self.boots: list[tuple[str, list[str]]] = []
        self.outcomes: dict[str, Outcome] = {"case_bad": "failed", "case_absent": "skipped"}
        self.dies_in: set[str] = set()
        self.dies_early = False
        self.dies_late = False
        self.starts_left: int | None = None
        self.meeting: threading.Barrier | None = None

    def run(
        self,
        guest: Guest,
        calls: Sequence[CaseCall],
        folder: Path,
        disks: Mapping[str, Path] | None = None,
    ) -> Run:
        self.boots.append((guest.name, [call.id.partition(":")[2] for call in calls]))
        results: dict[str, Result] = {}
        if self.meeting:
            self.meeting.wait(60)
        if self.starts_left is not None:
            self.starts_left -= 1
            if self.starts_left < 0:
                raise FileNotFoundError("no such emulator")
        if self.dies_early:
            self.dies_early = False
            raise GuestFailure("the agent did not report", (), results, "")
        for call in calls:
            if call.function in self.dies_in:
                console = tuple(f"console line {number}" for number in range(100))
                raise GuestFailure("the kernel panicked", console, results, call.id)
            outcome = self.outcomes.get(call.function, "passed")
            results[call.id] = Result(call.id, outcome, f"why {call.function}", "printed\n")
        if self.dies_late:
            raise GuestFailure("a server did not end", (), results, "")
        return Run(results, folder, {}, (), 1.0)


@pytest.fixture
def fake(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> FakeGuest:
    guest = FakeGuest()
    monkeypatch.setattr(plugin, "run", guest.run)
    monkeypatch.setattr(plugin, "PROJECT", pytester.path)
    monkeypatch.setattr(plugin, "reason_not_ready", lambda arch: None)
    monkeypatch.setitem(GUESTS, "other", Guest(name="other"))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.syspath_prepend(pytester.path)
    pytester.makepyfile(case_things=CASES)
    return guest


def pytest_in(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(
        "-p", "tests.guest.plugin", "-p", "no:asyncio", "-rs", *arguments
    )


def test_one_boot_for_each_guest_runs_all_its_cases(
    pytester: pytest.Pytester, fake: FakeGuest
) -> None:
    result = pytest_in(pytester, "-v")
    result.assert_outcomes(passed=5, failed=1, skipped=1)
    shared = ["case_many[group]", "case_many[cdev]"]
    assert sorted(fake.boots) == [
        ("default", ["case_good", "case_bad", "case_absent", *shared]),
        ("other", shared),
    ]
    result.stdout.fnmatch_lines(["*case_many?other-cdev?*", "*why case_bad*", "*printed*"])
    result.stdout.fnmatch_lines(["SKIPPED*why case_absent"])


def test_guests_run_side_by_side(
    pytester: pytest.Pytester, fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "SIDE_BY_SIDE", 2)
    fake.meeting = threading.Barrier(2)  # each waits for the other
    pytest_in(pytester).assert_outcomes(passed=5, failed=1, skipped=1)


def test_a_guest_with_many_cases_is_booted_more_than_once(
    pytester: pytest.Pytester, fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "SIDE_BY_SIDE", 2)
    monkeypatch.setattr(plugin, "BOOT_S", 4)
    pytester.makepyfile(case_more="def case_more(): pass", case_last="def case_last(): pass")
    pytest_in(pytester).assert_outcomes(passed=7, failed=1, skipped=1)
    of_default = sorted(calls for name, calls in fake.boots if name == "default")
    shared = ["case_many[group]", "case_many[cdev]"]
    assert of_default == [
        ["case_good", "case_bad", "case_absent", *shared],
        ["case_last", "case_more"],
    ]


WEIGHTS = """
from tests.guest.case import case
from tests.guest.interfaces import by_interface

@by_interface("cdev", guests=("default",))
@case(seconds=100)
def case_long(): pass
"""
MANY = "".join(f"def case_{n}(): pass\n" for n in range(6))


def test_boots_are_about_as_long_and_the_longest_begins(
    pytester: pytest.Pytester, fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "SIDE_BY_SIDE", 2)
    monkeypatch.setattr(plugin, "BOOT_S", 60)
    pytester.makepyfile(case_more=MANY, case_weight=WEIGHTS)
    pytest_in(pytester)
    of_default = [calls for name, calls in fake.boots if name == "default"]
    assert sorted(of_default, key=len)[0] == ["case_long[cdev]"]
    assert sorted(map(len, of_default)) == [1, 11]
    monkeypatch.setattr(plugin, "SIDE_BY_SIDE", 1)
    monkeypatch.setattr(plugin, "BOOT_S", 1000)
    fake.boots.clear()
    pytester.makepyfile(case_weight=WEIGHTS.replace('"default"', '"other"'))
    pytest_in(pytester)
    assert [name for name, _ in fake.boots] == ["other", "default"]


def test_what_keeps_a_guest_from_starting_fails_each_of_its_cases(
    pytester: pytest.Pytester, fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> Run:
        raise FileNotFoundError("no such emulator")

    monkeypatch.setattr(plugin, "run", refuse)
    result = pytest_in(pytester)
    result.assert_outcomes(failed=7)
    result.stdout.fnmatch_lines(["E * FileNotFoundError: no such emulator"])
    result.stdout.fnmatch_lines(["not reached: FileNotFoundError: no such emulator"])
    assert result.stdout.str().count("def refuse") == 2  # once for each boot


def test_only_selected_cases_are_sent(pytester: pytest.Pytester, fake: FakeGuest) -> None:
    pytest_in(pytester, "-k", "good").assert_outcomes(passed=1, deselected=6)
    assert fake.boots == [("default", ["case_good"])]


def test_dead_guest_fails_the_case_and_another_boot_runs_the_rest(
    pytester: pytest.Pytester, fake: FakeGuest
) -> None:
    fake.dies_in = {"case_bad"}
    result = pytest_in(pytester, "case_things.py")
    result.assert_outcomes(passed=5, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["while this case ran: the kernel panicked", "console line 20", "console line 99"]
    )
    result.stdout.fnmatch_lines(["whole console: *boot-1/console.log"])
    result.stdout.fnmatch_lines(["guest default: 5 cases, * s, died 1 x"])
    of_default = [calls for name, calls in fake.boots if name == "default"]
    assert of_default[1:] == [of_default[0][2:]]


def test_guest_that_dies_again_fails_what_it_did_not_reach(
    pytester: pytest.Pytester, fake: FakeGuest
) -> None:
    fake.dies_in = {"case_bad", "case_absent"}
    result = pytest_in(pytester, "case_things.py")
    result.assert_outcomes(passed=3, failed=4)
    result.stdout.fnmatch_lines(["while this case ran: *", "whole console: *boot-2/console.log"])
    result.stdout.fnmatch_lines(["not reached: the kernel panicked", "console line 99"])
    assert len(fake.boots) == 3


def test_guest_that_dies_before_its_cases_fails_the_first(
    pytester: pytest.Pytester, fake: FakeGuest
) -> None:
    fake.dies_early = True
    result = pytest_in(pytester, "-k", "good or bad or absent")
    result.assert_outcomes(failed=2, skipped=1)
    result.stdout.fnmatch_lines(["*case_good*", "before this case ran: the agent did not report*"])
    assert fake.boots == [
        ("default", ["case_good", "case_bad", "case_absent"]),
        ("default", ["case_bad", "case_absent"]),
    ]


def test_guest_that_does_not_end_well_fails_the_last_case(
    pytester: pytest.Pytester, fake: FakeGuest
) -> None:
    fake.dies_late = True
    result = pytest_in(pytester, "-k", "good or bad")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["why case_bad", "after this case ran: a server did not end"])
    assert len(fake.boots) == 1


def test_what_keeps_the_other_boot_from_starting_hides_nothing_of_the_first(
    pytester: pytest.Pytester, fake: FakeGuest
) -> None:
    fake.dies_in, fake.starts_left = {"case_bad"}, 1
    result = pytest_in(pytester, "-k", "good or bad or absent")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["while this case ran: the kernel panicked"])
    result.stdout.fnmatch_lines(["E * FileNotFoundError: no such emulator"])


def test_missing_kernel_skips_with_the_reason(
    pytester: pytest.Pytester, fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "reason_not_ready", lambda arch: "no kernel: do this")
    result = pytest_in(pytester)
    result.assert_outcomes(skipped=7)
    result.stdout.fnmatch_lines(["SKIPPED*no kernel: do this"])
    assert fake.boots == []


def test_missing_kernel_is_a_failure_in_ci(
    pytester: pytest.Pytester, fake: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "reason_not_ready", lambda arch: "no kernel: do this")
    monkeypatch.setenv("CI", "true")
    result = pytest_in(pytester)
    result.assert_outcomes(failed=7)
    result.stdout.fnmatch_lines(["no kernel: do this (under CI=true this is a failure)"])


def test_unknown_guest_is_an_error_at_collection(
    pytester: pytest.Pytester, fake: FakeGuest
) -> None:
    pytester.makepyfile(
        case_typo="""
        from tests.guest.case import case
        @case(guest="no-such")
        def case_x(): pass
        """
    )
    result = pytest_in(pytester, "case_typo.py")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no guest 'no-such' in tests/guest/guests.py"])
