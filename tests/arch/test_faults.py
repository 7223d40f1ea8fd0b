"""Faults: those of device accesses are results, all others go where they went before."""

from __future__ import annotations

import errno
import signal

import pytest

from tests.arch.conftest import Harness

OK, FAULT, ERRNO = 0, 1, 6
NONE, OURS, OTHER = 0, 1, 2  # PM_HANDLER_*
SIGNAL_OF = {
    "protected": signal.SIGSEGV,
    "unmapped": signal.SIGSEGV,
    "truncated": signal.SIGBUS,
}
EVERY_ACCESS = [(width, store) for width in (1, 2, 4, 8) for store in (0, 1)]


@pytest.mark.usefixtures("device")
class TestDeviceFaults:
    def test_without_the_handler_a_fault_kills(self, harness: Harness) -> None:
        if harness.way == "syscall":
            lines = harness.run("protected_without_handler").good
            assert lines == [{"width": w, "load": ERRNO, "store": ERRNO} for w in (1, 2, 4, 8)]
            return
        outcome = harness.run("protected_without_handler")
        assert (outcome.status, outcome.lines) == (-signal.SIGSEGV, [])

    @pytest.mark.parametrize("kind", SIGNAL_OF)
    def test_each_access_reports_its_fault_and_the_program_goes_on(
        self, harness: Harness, kind: str
    ) -> None:
        lines = [line for line in harness.run(f"fault_{kind}").good if line["kind"] == kind]
        assert [(line["width"], line["store"]) for line in lines] == EVERY_ACCESS
        for line in lines:
            if harness.way == "syscall":
                wanted = errno.EACCES if kind == "protected" else errno.EINVAL
                assert (line["error"], line["signal"], line["number"]) == (ERRNO, 0, wanted)
            else:
                assert (line["error"], line["signal"]) == (FAULT, SIGNAL_OF[kind])
                assert line["code"] > 0

    @pytest.mark.parametrize("kind", SIGNAL_OF)
    def test_the_address_is_that_of_the_access(self, harness: Harness, kind: str) -> None:
        for line in harness.run(f"fault_{kind}").good:
            if line["kind"] == kind:
                assert line["failed"] == 1
                if harness.arch.name != "s390x" or harness.way == "syscall":
                    assert line["address"] == line["offset"]

    def test_a_fault_leaves_errno_alone(self, harness: Harness) -> None:
        for line in harness.run("fault_truncated").good:
            assert line["errno"] == 4711

    def test_accesses_work_again_where_the_cause_is_gone(self, harness: Harness) -> None:
        lines = [x for x in harness.run("fault_protected").good if x["kind"] == "opened again"]
        assert [line["error"] for line in lines] == [OK] * len(EVERY_ACCESS)

    def test_on_a_read_only_mapping_only_stores_fault(self, harness: Harness) -> None:
        lines = harness.run("fault_read_only").good
        assert [(line["width"], line["store"]) for line in lines] == EVERY_ACCESS
        for line in lines:
            failure = ERRNO if harness.way == "syscall" else FAULT
            assert line["error"] == (failure if line["store"] else OK)

    def test_a_thousand_faults_are_a_thousand_results(self, harness: Harness) -> None:
        assert harness.run("fault_many").only == {"faults": 1000, "wrong": 0}

    def test_two_threads_fault_at_once_and_each_sees_its_own(self, harness: Harness) -> None:
        assert harness.run("fault_two_threads").only == {"faults": 1000, "wrong": [0, 0]}


@pytest.mark.usefixtures("arch")
class TestForeignFaults:
    def test_the_former_handler_sees_the_same_as_without_ours(self, harness: Harness) -> None:
        without, with_ours = harness.run("foreign_mended").good
        assert (without.pop("installed"), with_ours.pop("installed")) == (0, 1)
        assert (without.pop("count"), with_ours.pop("count")) == (1, 2)
        assert without == with_ours
        assert (without["signal"], without["value"]) == (signal.SIGSEGV, 77)

    @pytest.mark.parametrize("handler", ["siginfo", "plain"])
    def test_the_former_handler_may_leave_by_longjmp_each_time(
        self, harness: Harness, handler: str
    ) -> None:
        lines = harness.run(f"foreign_left_by_{handler}_handler").good
        assert [line["count"] for line in lines] == [0, 1, 2, 3, 4, 5]

    @pytest.mark.parametrize(
        ("case", "by"), [("segv", signal.SIGSEGV), ("bus", signal.SIGBUS)], ids=["segv", "bus"]
    )
    def test_without_a_former_handler_the_signal_kills(
        self, harness: Harness, case: str, by: int
    ) -> None:
        outcome = harness.run(f"foreign_default_{case}")
        assert (outcome.status, outcome.lines) == (-by, [])

    def test_a_fault_cannot_be_ignored_but_a_sent_signal_can(self, harness: Harness) -> None:
        outcome = harness.run("foreign_ignored")
        assert outcome.lines == [{"is_alive": True}]
        assert outcome.status == -signal.SIGSEGV

    def test_a_sent_signal_reaches_the_former_handler(self, harness: Harness) -> None:
        lines = harness.run("foreign_sent").good
        si_user = 0
        assert lines == [
            {"signal": signal.SIGBUS, "code": si_user, "count": count} for count in (1, 2)
        ]

    def test_a_sent_signal_kills_where_it_did_before(self, harness: Harness) -> None:
        outcome = harness.run("foreign_sent_default")
        assert (outcome.status, outcome.lines) == (-signal.SIGBUS, [])

    def test_a_former_handler_that_mends_nothing_ends_the_program(self, harness: Harness) -> None:
        outcome = harness.run("foreign_never_mended")
        assert (outcome.status, outcome.lines) == (-signal.SIGSEGV, [])


@pytest.mark.usefixtures("arch")
class TestHandler:
    def test_state_says_who_has_the_signals(self, harness: Harness) -> None:
        before, installed, again = harness.run("handler_installed").good
        ill = OURS if harness.arch.name == "s390x" else NONE
        assert before == {"when": "before", "segv": NONE, "bus": NONE, "ill": NONE, "usr1": NONE}
        assert installed == {
            "when": "installed",
            "segv": OURS,
            "bus": OURS,
            "ill": ill,
            "usr1": NONE,
        }
        assert again == {**installed, "when": "installed twice"}

    def test_installed_twice_it_is_not_its_own_predecessor(self, harness: Harness) -> None:
        line = harness.run("handler_installed_twice_then_foreign").only
        assert line == {"foreign": 0, "taken": 1}

    def test_a_handler_that_took_the_signal_away_is_noticed(self, harness: Harness) -> None:
        states = {x["when"]: x for x in harness.run("handler_taken_away").good if "when" in x}
        assert states["taken away"]["segv"] == OTHER
        assert states["taken away"]["bus"] == OURS
        assert states["ours again"]["segv"] == OURS

    def test_handlers_that_precede_each_other_end_the_program(self, harness: Harness) -> None:
        outcome = harness.run("handler_predecessor_of_each_other")
        assert outcome.lines == [{"last words": signal.SIGSEGV}]
        assert outcome.status == -signal.SIGSEGV


@pytest.mark.usefixtures("faulting_device")
class TestHandlerTakenAway:
    def test_device_faults_are_ours_again_after_installing_again(self, harness: Harness) -> None:
        lines = harness.run("handler_taken_away").good
        device = {line["device"]: line for line in lines if "device" in line}
        assert device["ours"] == {"device": "ours", "error": FAULT, "taken": 0}
        assert device["taken away"] == {"device": "taken away", "error": OK, "taken": 1}
        assert device["ours again"] == {"device": "ours again", "error": FAULT, "taken": 1}
        assert device["still ours"]["error"] == FAULT

    def test_foreign_faults_reach_the_handler_that_took_them(self, harness: Harness) -> None:
        lines = harness.run("handler_taken_away").good
        assert {"foreign": 0, "taken": 2} in lines
