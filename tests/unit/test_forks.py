from __future__ import annotations

import gc

import pytest

from pymmio import forks
from tests.children import in_forked_child


class Tracked:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.told = 0

    def _after_fork(self) -> None:
        self.told += 1
        if self.error is not None:
            raise self.error


def test_told_once_in_the_child_and_never_in_the_parent() -> None:
    thing = Tracked()
    forks.track(thing)
    forks.track(thing)

    def child() -> None:
        assert thing.told == 1

    in_forked_child(child)
    assert thing.told == 0


def test_a_child_of_a_child_is_told_again() -> None:
    thing = Tracked()
    forks.track(thing)

    def grandchild() -> None:
        assert thing.told == 2

    in_forked_child(lambda: in_forked_child(grandchild))


def test_tracking_keeps_nothing_alive() -> None:
    thing = Tracked()
    forks.track(thing)
    assert thing in forks._tracked
    before = len(forks._tracked)
    del thing
    gc.collect()
    assert len(forks._tracked) < before


def test_one_that_fails_does_not_keep_the_others_from_being_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    things = [Tracked(ValueError("injected")), Tracked(), Tracked(KeyError("injected"))]
    monkeypatch.setattr(forks, "_tracked", things)
    with pytest.raises(ExceptionGroup) as caught:
        forks._in_child()
    assert [thing.told for thing in things] == [1, 1, 1]
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]


def test_the_helper_of_these_tests_can_fail() -> None:
    def child() -> None:
        raise LookupError("only in the child")

    with pytest.raises(AssertionError, match="only in the child"):
        in_forked_child(child)
