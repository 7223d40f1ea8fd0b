"""Tear-down: every step is made, with a deadline, and what is busy is tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pymmio.errors import BufferBusy, DeviceGone, DeviceTimeout
from pymmio.teardown import Step, TearDown


def raising(error: Exception) -> Callable[[], object]:
    def step() -> None:
        raise error

    return step


def test_all_steps_are_made_in_order_once() -> None:
    made: list[int] = []
    tear_down = TearDown("x", [Step(str(i), lambda i=i: made.append(i)) for i in range(3)])
    tear_down.run(10)
    tear_down.run(10)
    assert made == [0, 1, 2]


def test_the_first_failure_is_raised_with_the_others_as_notes() -> None:
    made: list[int] = []
    steps = [
        Step("a", raising(OSError(5, "first"))),
        Step("b", raising(OSError(5, "second"))),
        Step("c", lambda: made.append(1)),
    ]
    tear_down = TearDown("x", steps)
    with pytest.raises(OSError, match="first") as raised:
        tear_down.run(10)
    assert raised.value.__notes__ == ["then, while closing x: [Errno 5] second"]
    assert made == [1]
    tear_down.run(10)  # what failed is not made again


def test_what_is_busy_is_made_again() -> None:
    views = [1]
    made: list[str] = []

    def unmap() -> None:
        if views:
            raise BufferBusy("a view exists")
        made.append("unmapped")

    tear_down = TearDown("x", [Step("unmapping", unmap), Step("rest", lambda: made.append("rest"))])
    for _ in range(2):
        with pytest.raises(BufferBusy):
            tear_down.run(10)
    views.clear()
    tear_down.run(10)
    assert made == ["rest", "unmapped"]


def test_a_device_that_is_gone_is_no_failure() -> None:
    TearDown("x", [Step("master off", raising(DeviceGone("gone")))]).run(10)


def test_a_step_that_never_returns_is_named_and_goes_on_in_the_background() -> None:
    gate, made = threading.Event(), threading.Event()
    steps = [Step("giving it back", lambda: gate.wait(60)), Step("rest", made.set)]
    tear_down = TearDown("x", steps)
    for _ in range(2):
        with pytest.raises(DeviceTimeout, match=r"x is not closed after 0\.01 s.*giving it back"):
            tear_down.run(0.01)
    gate.set()
    tear_down.run(10)
    assert made.wait(10)


def test_a_step_may_ask_for_the_tear_down_that_it_belongs_to() -> None:
    tear_down = TearDown("x", [Step("a", lambda: tear_down.run(10))])
    tear_down.run(10)
