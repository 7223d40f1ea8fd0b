"""What a process holds, and that something left behind is noticed."""

from __future__ import annotations

import mmap
import os
import subprocess
import threading

import pytest

from pymmio.testing.contract import footprint
from pymmio.testing.contract.expect import Running, in_forked_child, raises, together
from pymmio.testing.contract.footprint import leaves_nothing


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "_ENDING_S", 0.05)
    monkeypatch.setattr(footprint, "_CLOSING_S", 0.05)


def test_nothing_is_nothing() -> None:
    with leaves_nothing():
        os.close(os.memfd_create("short"))


def test_a_descriptor_is_noticed() -> None:
    kept: list[int] = []
    with pytest.raises(AssertionError, match="it left behind: descriptor of /memfd:kept"):
        with leaves_nothing():
            kept.append(os.memfd_create("kept"))
    os.close(kept[0])


def test_a_second_descriptor_of_the_same_is_noticed() -> None:
    first = os.memfd_create("twice")
    second: list[int] = []
    with pytest.raises(AssertionError, match="descriptor"):
        with leaves_nothing():
            second.append(os.dup(first))
    for fd in (first, *second):
        os.close(fd)


def test_a_mapping_is_noticed() -> None:
    fd = os.memfd_create("mapped")
    os.ftruncate(fd, 4096)
    kept: list[mmap.mmap] = []
    with pytest.raises(AssertionError, match=r"opening left behind: .*mapping of /memfd:mapped"):
        with leaves_nothing("opening"):
            kept.append(mmap.mmap(fd, 4096))
    kept[0].close()
    os.close(fd)


def test_a_thread_is_noticed() -> None:
    end = threading.Event()
    with pytest.raises(AssertionError, match="thread left"):
        with leaves_nothing():
            threading.Thread(target=end.wait, args=(60,), name="left", daemon=True).start()
    end.set()


def test_a_process_is_noticed() -> None:
    kept: list[subprocess.Popen[bytes]] = []
    with pytest.raises(AssertionError, match="process"):
        with leaves_nothing():
            kept.append(subprocess.Popen(["sleep", "60"]))
    kept[0].kill()
    kept[0].wait()


def test_what_the_block_raises_comes_through() -> None:
    with pytest.raises(KeyError):
        with leaves_nothing():
            raise KeyError


def test_raises_returns_the_exception() -> None:
    assert str(raises(ValueError, lambda: int("x"))).startswith("invalid")
    with pytest.raises(AssertionError, match="no ValueError was raised by it; it returned 1"):
        raises(ValueError, lambda: 1, "it")
    with pytest.raises(AssertionError, match="KeyError was raised instead of ValueError"):
        raises(ValueError, lambda: {}[1])


def test_a_thread_that_does_not_come_back_is_noticed() -> None:
    end = threading.Event()
    with pytest.raises(AssertionError, match="a waiter has not come back"):
        Running(lambda: end.wait(60)).outcomes(0.01, "a waiter")
    end.set()


def test_what_a_thread_raises_is_raised() -> None:
    with pytest.raises(AssertionError, match="users: ZeroDivisionError"):
        together([lambda: 1, lambda: 1 // 0], 10, "users")
    assert together([lambda: 1, lambda: 2], 10, "users") == [1, 2]


def test_what_a_child_raises_is_raised() -> None:
    in_forked_child(lambda: None)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        in_forked_child(lambda: 1 // 0)
