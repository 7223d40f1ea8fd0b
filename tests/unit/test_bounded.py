"""Calls that may never come back."""

from __future__ import annotations

import threading

import pytest

from pymmio.bounded import BoundedCall


def test_the_result_is_the_calls() -> None:
    call = BoundedCall(lambda: 42, name="test")
    assert call.wait(10)
    assert call.result() == 42


def test_what_the_call_raises_is_raised_by_result() -> None:
    def fail() -> None:
        raise OSError(5, "injected")

    call = BoundedCall(fail, name="test")
    assert call.wait(10)
    with pytest.raises(OSError, match="injected"):
        call.result()


def test_a_call_that_does_not_come_back_is_left_behind() -> None:
    gate = threading.Event()
    call = BoundedCall(lambda: gate.wait(60), name="test of a stuck call")
    assert not call.wait(0.01)
    assert not call.is_over
    assert call.thread.daemon  # the program may end while it runs
    with pytest.raises(RuntimeError, match="not come back"):
        call.result()
    gate.set()
    assert call.wait(10)
    assert call.result() is True
