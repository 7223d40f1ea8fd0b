"""A QEMU process: started, watched, its last words kept, ended."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Sequence

from pymmio import forks
from pymmio.backend.qtest import keeper

__all__ = ["QemuProcess"]

EXIT_TIMEOUT_S = 5.0
"""How long QEMU may take to write what its disk images need and to end, in seconds."""

KILL_TIMEOUT_S = 10.0

_KEPT_BYTES = 1 << 20
_TAIL_LINES = 12
_TAIL_BYTES = 16384
_DUMP = "\nCPU #0:\n"  # hw_error of QEMU shows the processor's registers, of which there are many


class QemuProcess:
    """A child that the kernel kills when this process ends."""

    def __init__(self, command: Sequence[str], *, fds: Sequence[int]) -> None:
        """Start ``command`` with the descriptors ``fds``.  Raises Unsupported."""
        self._lock = threading.Lock()  # nobody reads a descriptor that was closed
        self._output = os.memfd_create("pymmio-qemu-stderr", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            # What is said beyond this is lost: a chatty device must not fill the memory.
            os.ftruncate(self._output, _KEPT_BYTES)
            fcntl.fcntl(self._output, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
            self._popen = keeper.start(command, fds=fds, stderr=self._output)
        except BaseException:
            os.close(self._output)
            raise
        self._is_ours = True
        forks.track(self)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    def open_pidfd(self) -> int:
        """Return a descriptor that is readable when it has ended; the caller closes it."""
        return os.pidfd_open(self._popen.pid)

    def has_ended(self) -> bool:
        """Whether it runs no more; reaps it."""
        return self._popen.poll() is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; return False if it still runs after ``timeout_s``."""
        try:
            self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def status(self) -> str:
        """Say for people how it ended, or that it runs."""
        code = self._popen.poll()
        if code is None:
            return "it still runs"
        if code >= 0:
            return f"it ended with status {code}"
        try:
            return f"it was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"it was ended by signal {-code}"

    def last_words(self) -> str:
        """Return the last lines that it wrote to stderr; control characters are replaced."""
        with self._lock:
            if self._output < 0:
                return ""
            end = os.lseek(self._output, 0, os.SEEK_CUR)  # QEMU's position is ours too
            start = max(0, end - _TAIL_BYTES)
            text = os.pread(self._output, end - start, start).decode(errors="replace")
        text = text.partition(_DUMP)[0]
        lines = [_printable(line) for line in text.splitlines() if line.strip()]
        return "\n".join(lines[-_TAIL_LINES:])

    def stop(self) -> None:
        """Ask it to end, end it if it does not, reap it; calling twice is fine."""
        if not self._is_ours:
            return
        try:
            if not self.has_ended():
                self._popen.send_signal(signal.SIGTERM)
                if not self.wait(EXIT_TIMEOUT_S):
                    self._popen.kill()
                    self.wait(KILL_TIMEOUT_S)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        with self._lock:
            output, self._output = self._output, -1
            if output >= 0:
                os.close(output)

    def _after_fork(self) -> None:
        """It is the parent's child; let go of the file and never signal it from here."""
        self._lock = threading.Lock()
        self._is_ours = False
        self._popen.returncode = 0
        self._let_go()


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in line)
