"""Start processes that end with this process, and not with the thread that asked for them.

Linux sends a process its death signal when the *thread* that forked it ends (prctl(2),
PR_SET_PDEATHSIG).  So all of them are forked by one thread, which lives as long as the process.
"""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from pymmio import forks
from pymmio.errors import Unsupported

__all__ = ["start"]

START_TIMEOUT_S = 30.0

_IF_PARENT = '[ "$PPID" = "$0" ] && exec "$@"'
"""The parent may have died before the death signal was asked for: then nothing is started."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What to start; descriptors keep their numbers."""

    command: Sequence[str]
    fds: Sequence[int]
    stderr: int
    environment: Mapping[str, str]
    done: Future[subprocess.Popen[bytes]]


class _Keeper:
    """The thread, started when it is first needed, in each process anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        forks.track(self)

    def start(self, order: _Order) -> subprocess.Popen[bytes]:
        """Have the thread start it; raises OSError as Popen does."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="pymmio starts processes", daemon=True
                )
                self._thread.start()
            self._orders.put(order)
        return order.done.result(START_TIMEOUT_S)

    def _run(self) -> None:
        orders = self._orders
        while True:
            order = orders.get()
            try:
                order.done.set_result(_start(order))
            except BaseException as error:  # it belongs to whoever asked
                order.done.set_exception(error)
            del order  # who keeps it keeps the process object

    def _after_fork(self) -> None:
        """A child has no thread yet, and processes of its own."""
        self._lock = threading.Lock()
        self._orders = queue.SimpleQueue()
        self._thread = None


def _start(order: _Order) -> subprocess.Popen[bytes]:
    # setpriv and sh replace themselves, so the process id is the command's own.
    return subprocess.Popen(
        [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("sh", "-c", _IF_PARENT, str(os.getpid())),
            *order.command,
        ],
        stdin=subprocess.DEVNULL,
        stdout=order.stderr,
        stderr=order.stderr,
        pass_fds=order.fds,
        env=order.environment,
        start_new_session=True,  # a Ctrl-C at the terminal is for this program alone
    )


_keeper = _Keeper()


def start(command: Sequence[str], *, fds: Sequence[int], stderr: int) -> subprocess.Popen[bytes]:
    """Start ``command``; the kernel kills it when this process ends, however that happens.

    It gets the descriptors ``fds`` under their numbers, and writes to ``stderr``.  Raises
    Unsupported where the system cannot do that.
    """
    environment = {**os.environ, "LC_ALL": "C"}
    order = _Order(tuple(command), tuple(fds), stderr, environment, Future())
    try:
        return _keeper.start(order)
    except OSError as error:
        missing = [name for name in ("setpriv", "sh") if shutil.which(name) is None]
        hint = "Raise the limits of processes and open files (ulimit -u, ulimit -n)"
        if missing:
            hint = f"Install {' and '.join(missing)} (Debian: util-linux, dash)"
        raise Unsupported(f"cannot start {command[0]}: {error.strerror}", hint=hint) from error
