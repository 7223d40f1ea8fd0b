"""Helpers of checks: expected exceptions, threads with deadlines, forked children."""

from __future__ import annotations

import os
import select
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import TypeVar

from pymmio.errors import PymmioError

__all__ = ["Running", "forked", "in_forked_child", "raises", "together"]

E = TypeVar("E", bound=BaseException)

CHILD_DEADLINE_S = 60


def raises(kind: type[E], call: Callable[[], object], what: str = "") -> E:
    """Return the exception of this kind that ``call`` raises; fail where it raises none.

    An exception of pymmio must say something.
    """
    about = f" by {what}" if what else ""
    try:
        result = call()
    except kind as error:
        if isinstance(error, PymmioError):
            assert error.message, f"{kind.__name__}{about} has no message"
        return error
    except Exception as error:
        raise AssertionError(
            f"{type(error).__name__} was raised{about} instead of {kind.__name__}: {error}"
        ) from error
    raise AssertionError(f"no {kind.__name__} was raised{about}; it returned {result!r}")


class Running:
    """Calls that run in threads of their own, which have all started.

    ``outcome`` of each is what it returned or the exception that it raised.
    """

    def __init__(self, *calls: Callable[[], object]) -> None:
        self._started = threading.Barrier(len(calls) + 1)
        self._outcomes: list[object] = [None] * len(calls)
        self._threads = [
            threading.Thread(target=self._run, args=(index, call), daemon=True)
            for index, call in enumerate(calls)
        ]
        for thread in self._threads:
            thread.start()
        self._started.wait(30)

    def _run(self, index: int, call: Callable[[], object]) -> None:
        self._started.wait(30)
        try:
            self._outcomes[index] = call()
        except BaseException as error:
            self._outcomes[index] = error

    def outcomes(self, timeout_s: float, what: str = "a thread") -> list[object]:
        """Wait for all of them."""
        for thread in self._threads:
            thread.join(timeout_s)
            assert not thread.is_alive(), f"{what} has not come back within {timeout_s:g} s"
        return self._outcomes


def together(calls: Iterable[Callable[[], object]], timeout_s: float, what: str) -> list[object]:
    """Run calls at the same time; raise the first exception, else return what they returned."""
    outcomes = Running(*calls).outcomes(timeout_s, what)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise AssertionError(f"{what}: {type(outcome).__name__}: {outcome}") from outcome
    return outcomes


def forked(function: Callable[[], object], *, deadline_s: int = CHILD_DEADLINE_S) -> int:
    """Start a child that runs ``function`` and ends at once with 0, or 1 after an exception.

    Returns its process id; the child ends in any case after ``deadline_s``.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(deadline_s)
        function()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def in_forked_child(function: Callable[[], object]) -> None:
    """Fail unless ``function`` returns without an exception in a forked child, in time."""
    reading, writing = os.pipe()

    def child() -> None:
        os.close(reading)
        try:
            function()
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-4000:])
            raise SystemExit(1) from None

    try:
        with open(os.devnull, "w") as quiet:
            pid = _fork_quietly(child, quiet.fileno())
        os.close(writing)
        writing = -1
        text = _read_all(reading, CHILD_DEADLINE_S + 5)
    finally:
        for descriptor in (reading, writing):
            if descriptor >= 0:
                os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"status {status} of the forked child\n{text}"


def _fork_quietly(function: Callable[[], object], null: int) -> int:
    def run() -> None:
        os.dup2(null, 2)  # what is raised comes through the pipe
        function()

    return forked(run)


def _read_all(reading: int, timeout_s: float) -> str:
    data = b""
    while select.select([reading], [], [], timeout_s)[0]:
        piece = os.read(reading, 4096)
        if not piece:
            break
        data += piece
    return data.decode(errors="replace")
