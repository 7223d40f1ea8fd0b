from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable

import pytest

from pymmio.errors import Closed, Unsupported
from pymmio.irq import EventFd


def test_events_add_up_and_are_taken_once() -> None:
    with EventFd() as event:
        assert event.try_take() == 0
        event.signal()
        event.signal(4)
        assert event.try_take() == 5
        assert event.try_take() == 0


def test_readable_exactly_while_events_are_counted() -> None:
    with EventFd() as event:
        assert not event.wait_readable(0)
        event.signal()
        assert event.wait_readable(60)
        assert event.try_take() == 1
        assert not event.wait_readable(0.001)


def test_a_full_counter_stays_readable() -> None:
    with EventFd() as event:
        event.signal(2**64 - 2)
        event.signal()
        assert event.wait_readable(60)
        assert event.try_take() == 2**64 - 2


def test_descriptor_does_not_survive_exec() -> None:
    with EventFd() as event:
        assert fcntl.fcntl(event.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_close_twice_leaves_nothing(descriptors: Callable[[], int]) -> None:
    before = descriptors()
    event = EventFd()
    assert descriptors() == before + 1
    event.close()
    event.close()
    assert descriptors() == before
    assert event.closed
    for use in (event.fileno, event.try_take, event.signal):
        with pytest.raises(Closed):
            use()


def test_too_many_open_files_names_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "eventfd", fail)
    with pytest.raises(Unsupported, match="ulimit -n"):
        EventFd()
