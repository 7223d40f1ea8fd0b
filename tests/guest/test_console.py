"""The console's deadline moves with the agent's events, and with nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from tests.guest.console import PANIC_TIMEOUT_S, Console
from tests.guest.process import line_process


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def console(clock: Clock) -> Console:
    return Console(60.0, 20.0, {"m:short": 1.0, "m:long": 90.0}, clock)


def test_boot_has_its_own_deadline() -> None:
    clock = Clock()
    assert console(clock).deadline == 1060.0


def test_started_case_has_its_own_time_and_the_grace() -> None:
    clock = Clock()
    watched = console(clock)
    clock.now = 1010.0
    watched.feed('@guest {"event": "start", "id": "m:short"}')
    assert watched.deadline == 1031.0
    assert watched.running == "m:short"


def test_between_cases_the_longest_case_counts() -> None:
    clock = Clock()
    watched = console(clock)
    watched.feed('@guest {"event": "result", "id": "m:short"}')
    assert watched.deadline == 1110.0
    assert watched.running == ""


def test_noise_and_broken_events_move_nothing() -> None:
    clock = Clock()
    watched = console(clock)
    clock.now = 1010.0
    for line in (
        "[ 1.0] something",
        '@guest {"event": "sta[ 1.1] x',
        "@guest 7",
        '@guest {"a": 1}',
    ):
        watched.feed(line)
    assert watched.deadline == 1060.0


def test_event_behind_a_kernel_message_is_seen() -> None:
    watched = console(Clock())
    watched.feed('[ 1.2] no newline@guest {"event": "start", "id": "m:long"}')
    assert watched.running == "m:long"


def test_panic_leaves_time_for_the_stack_only() -> None:
    clock = Clock()
    watched = console(clock)
    watched.feed('@guest {"event": "start", "id": "m:long"}')
    watched.feed("[ 2.0] Kernel panic - not syncing: sysrq triggered crash")
    watched.feed('@guest {"event": "start", "id": "m:long"}')
    assert watched.deadline == clock.now + PANIC_TIMEOUT_S


def test_machine_that_ends_after_a_panic_has_panicked() -> None:
    watched = Console(20.0, 20.0, {})
    with line_process(["echo", "Kernel panic - not syncing: Fatal exception"]) as process:
        assert watched.follow(process).reason == "the kernel panicked"


def test_silent_machine_ends_at_the_deadline_with_its_partial_line() -> None:
    watched = Console(0.3, 20.0, {})
    with line_process(["sh", "-c", "printf 'Loading ...'; exec sleep 1000"]) as process:
        assert "did not report within 0.3 s" in watched.follow(process).reason
        assert process.close() == -9
    assert watched.lines == ["Loading ..."]
