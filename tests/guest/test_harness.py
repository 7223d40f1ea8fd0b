"""The harness reports what happened in a guest, whatever happens there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.guest.cases import harness_faults as faults
from tests.guest.guest import Guest, GuestFailure
from tests.guest.guests import DEFAULT
from tests.guest.plugin import GuestRunner

pytestmark = pytest.mark.guest

BARE = Guest(name="bare", memory_mib=512)


def test_each_case_gets_its_own_result_in_one_boot(guest_run: GuestRunner) -> None:
    run = guest_run(
        [
            faults.fails,
            faults.hangs,
            faults.crashes,
            faults.leaves,
            faults.ends_its_process,
            faults.is_skipped,
            faults.passes,
        ],
        guest=BARE,
    )
    by_name = {key.rpartition(":")[2]: result for key, result in run.results.items()}

    assert by_name["passes"].outcome == "passed"
    assert by_name["passes"].output == "heard on stdout\nheard on stderr\n"
    assert (run.share / "left-behind").read_text() == "by a case\n"

    assert by_name["fails"].outcome == "failed"
    assert 'assert seen["answer"] == 42' in by_name["fails"].detail
    assert "seen = {'answer': 41}" in by_name["fails"].detail
    assert by_name["fails"].output == "just before\n"

    assert by_name["hangs"].outcome == "failed"
    assert "deadline of 1 s passed" in by_name["hangs"].detail
    assert "going to wait" in by_name["hangs"].output
    assert "in hangs" in by_name["hangs"].output
    assert 1.0 <= by_name["hangs"].seconds < 5.0

    assert by_name["is_skipped"].outcome == "skipped"
    assert by_name["is_skipped"].detail == "needs a device that is not there"
    assert "SIGSEGV" in by_name["crashes"].detail
    assert "SystemExit: left early" in by_name["leaves"].detail
    assert "status 3" in by_name["ends_its_process"].detail
    with pytest.raises(AssertionError, match="deadline of 1 s passed"):
        run.check()


def test_panic_shows_the_console_and_keeps_earlier_results(guest_run: GuestRunner) -> None:
    with pytest.raises(GuestFailure, match="the kernel panicked") as caught:
        guest_run([faults.passes, faults.panics, faults.fails], guest=BARE)
    assert "sysrq triggered crash" in str(caught.value)
    assert [result.outcome for result in caught.value.results.values()] == ["passed"]
    assert caught.value.running.endswith(":panics")


def test_boot_that_hangs_ends_at_its_deadline(guest_run: GuestRunner) -> None:
    bad_init = ("rdinit=/bin/busybox", "--", "sleep", "1000")
    guest = replace(BARE, kernel_arguments=bad_init, boot_timeout_s=3.0)
    with pytest.raises(GuestFailure, match="did not report within 3 s"):
        guest_run([faults.passes], guest=guest)


def test_init_that_ends_is_a_panic(guest_run: GuestRunner) -> None:
    guest = replace(BARE, kernel_arguments=("rdinit=/bin/busybox", "--", "false"))
    with pytest.raises(GuestFailure, match="Attempted to kill init"):
        guest_run([faults.passes], guest=guest)


def test_killed_agent_is_a_failure(guest_run: GuestRunner) -> None:
    with pytest.raises(GuestFailure, match="the agent died") as caught:
        guest_run([faults.kills_the_agent], guest=BARE)
    assert "status 137" in str(caught.value)


def test_stopped_agent_is_a_failure_at_the_deadline(guest_run: GuestRunner) -> None:
    with pytest.raises(GuestFailure, match="no sign of life for 2 s after: start of") as caught:
        guest_run([faults.stops_the_agent], guest=replace(BARE, grace_s=1.0))
    assert caught.value.running.endswith(":stops_the_agent")


def test_wrong_device_is_a_failure_with_qemus_message(guest_run: GuestRunner) -> None:
    with pytest.raises(GuestFailure, match="no-such-device"):
        guest_run([faults.passes], guest=replace(BARE, devices=("no-such-device",)))


def test_case_that_cannot_be_killed_does_not_stop_the_others(guest_run: GuestRunner) -> None:
    run = guest_run(
        [faults.unbinds_what_it_holds, faults.passes], guest=replace(BARE, devices=("edu",))
    )
    stuck, passed = run.results.values()
    assert stuck.outcome == "failed"
    assert "SIGKILL does not end it: it waits in the kernel (vfio" in stuck.detail
    assert passed.outcome == "passed"


def test_host_sees_and_changes_a_disk_between_two_boots(guest_run: GuestRunner) -> None:
    first = guest_run([faults.writes_the_disk], guest=DEFAULT)
    first.check()
    with first.disks["nvme0"].open("r+b") as image:
        assert image.read(20) == b"written in the guest"
        image.seek(0)
        image.write(b"changed on the host".ljust(4096, b"\0"))
    guest_run([faults.reads_the_disk], guest=DEFAULT, disks=first.disks).check()
