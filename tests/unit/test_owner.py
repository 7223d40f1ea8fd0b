"""Owners: what the end of a ``with`` block closes, and which error is told."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from pymmio.errors import BufferBusy, ReplayIncomplete, ReplayMismatch
from pymmio.owner import Owner
from pymmio.teardown import Step, TearDown


class Held(Owner):
    """Raises ``error`` when it is closed."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.closed = False

    def close(self) -> None:
        self.closed = True
        if self.error is not None:
            raise self.error


def end_by(held: Held, error: BaseException | None) -> None:
    with held as entered:
        assert entered is held
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [None, ValueError("the reason"), KeyboardInterrupt()])
def test_the_end_of_a_block_closes(error: BaseException | None) -> None:
    held = Held()
    if error is None:
        end_by(held, None)
    else:
        with pytest.raises(type(error)):
            end_by(held, error)
    assert held.closed


@pytest.mark.parametrize("later", [OSError(5, "later"), ReplayIncomplete("later")])
def test_what_ended_a_block_is_told_before_what_closing_says(later: Exception) -> None:
    with pytest.raises(ValueError, match="the reason") as told:
        end_by(Held(later), ValueError("the reason"))
    assert told.value.__notes__ == [f"and then, while closing: {later}"]


def test_a_root_cause_is_told_before_what_it_led_to() -> None:
    with pytest.raises(ReplayMismatch, match="the cause") as told:
        end_by(Held(ReplayMismatch("the cause")), ValueError("what it led to"))
    assert isinstance(told.value.__context__, ValueError)


def test_all_that_closing_says_is_told() -> None:
    class Two(Owner):
        def close(self) -> None:
            with ExitStack() as stack:
                for number in (2, 1):
                    stack.callback(end_by, Held(OSError(5, f"step {number}")), None)

    first = OSError(5, "noted")
    first.add_note("with a note of its own")
    with pytest.raises(ValueError, match="the reason") as told, Two():
        raise ValueError("the reason")
    assert told.value.__notes__ == [
        f"and then, while closing: [Errno 5] step {number}" for number in (2, 1)
    ]
    with pytest.raises(ValueError, match="the reason") as told:
        end_by(Held(first), ValueError("the reason"))
    assert told.value.__notes__ == [
        "and then, while closing: [Errno 5] noted",
        "with a note of its own",
    ]


def test_a_cause_stands_in_the_message_and_is_not_told_again() -> None:
    class Explains(Owner):
        def close(self) -> None:
            try:
                raise OSError(5, "below")
            except OSError as error:
                raise BufferBusy("a view exists") from error

    with pytest.raises(ValueError, match="the reason") as told, Explains():
        raise ValueError("the reason")
    assert told.value.__notes__ == ["and then, while closing: a view exists"]


def test_a_root_cause_among_several_is_told() -> None:
    steps = [
        Step("a", Held(BufferBusy("a view exists")).close),
        Step("b", Held(ReplayMismatch("the cause")).close),
    ]
    tear_down = TearDown("x", steps)

    class Two(Owner):
        def close(self) -> None:
            tear_down.run(10)

    with pytest.raises(ReplayMismatch, match="the cause") as told, Two():
        raise ValueError("what it led to")
    assert told.value.__notes__ == ["then, while closing x: a view exists"]


def test_the_same_error_is_told_once() -> None:
    error = BufferBusy("a view exists")
    with pytest.raises(BufferBusy) as told:
        end_by(Held(error), error)
    assert not hasattr(told.value, "__notes__")


@pytest.mark.parametrize("ended_by", [None, asyncio.CancelledError(), KeyboardInterrupt()])
def test_what_closing_says_is_raised_where_nobody_would_read_it(
    ended_by: BaseException | None,
) -> None:
    with pytest.raises(BufferBusy):
        end_by(Held(BufferBusy("a view exists")), ended_by)


def test_closing_raises_its_own_faults() -> None:
    with pytest.raises(ZeroDivisionError):
        end_by(Held(ZeroDivisionError()), ValueError("the reason"))
