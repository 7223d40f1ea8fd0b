"""Start a process that ends with its parent, follow its output line by line, under a deadline."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

EXIT_TIMEOUT_S = 5.0
KILL_TIMEOUT_S = 10.0

IF_PARENT = '[ "$PPID" = "$0" ] && exec "$@"'
"""The parent may have died before the death signal was asked for: then nothing is started."""


class Stopped(Exception):
    """A command failed or ran out of time; the message holds its last lines."""


class LineProcess:
    """A child process whose stdout and stderr are read together, line by line.

    Bytes that are not UTF-8 are replaced. The child leads its own process group.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self.process = process
        self._stdout = process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._partial = b""
        self._is_open = True

    def lines(self, timeout_s: float) -> list[str] | None:
        """Return the lines that arrived, waiting up to ``timeout_s``; None at the end of output."""
        if not self._is_open:
            return None
        if not self._selector.select(max(0.0, timeout_s)):
            return []
        data = os.read(self._stdout.fileno(), 65536)
        if not data:
            self._is_open = False
            last, self._partial = self._partial, b""
            return [_text(last)] if last else None
        *whole, self._partial = (self._partial + data).split(b"\n")
        return [_text(line) for line in whole]

    @property
    def partial(self) -> str:
        """Return what came after the last line end."""
        return _text(self._partial)

    def close(self) -> int:
        """Reap the child and return its status (negative: signal); kill its group if it still runs.

        A child whose output has ended is about to exit: it gets a moment to do so by itself.
        """
        self._selector.close()
        self._stdout.close()
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(0 if self._is_open else EXIT_TIMEOUT_S)
        os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait(KILL_TIMEOUT_S)


@contextmanager
def line_process(
    command: list[str], cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[LineProcess]:
    """Run ``command``; it is killed on every way out of the block, and when this thread dies.

    setpriv and sh replace themselves, so the process id is the command's own.
    """
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "--", "sh", "-c", IF_PARENT, str(os.getpid()), *command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    child = LineProcess(process)
    try:
        yield child
    finally:
        child.close()


def run_logged(
    command: list[str],
    *,
    cwd: Path,
    log: Path,
    deadline: float,
    on_line: Callable[[str], None] = lambda line: None,
) -> None:
    """Run ``command`` until ``deadline`` (time.monotonic), appending its output to ``log``.

    It gets a fixed environment: an outer make would hand its variables and job server down.
    Raises Stopped with the last lines when it fails or the deadline passes.
    """
    tail: list[str] = []
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    with log.open("a") as out, line_process(command, cwd, environment) as child:
        out.write(f"$ {' '.join(command)}\n")
        while (lines := child.lines(deadline - time.monotonic())) is not None:
            for line in lines:
                out.write(line + "\n")
                on_line(line)
            tail = (tail + lines)[-30:]
            if time.monotonic() > deadline:
                raise Stopped(f"{command[0]} ran out of time\n" + "\n".join(tail))
        try:
            status = child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise Stopped(f"{command[0]} ran out of time") from error
    if status != 0:
        raise Stopped(f"{' '.join(command)}: status {status}\n" + "\n".join(tail))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")
