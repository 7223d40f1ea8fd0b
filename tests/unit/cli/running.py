"""Run the command line in tests: in this process, as a process of its own, on a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import Any

from click.testing import CliRunner, Result

from pymmio.cli.app import cli

DEADLINE_S = 60
_AGAIN_S = 0.5

COMMAND = (sys.executable, "-m", "pymmio.cli")


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli, arguments, input=stdin, prog_name="pymmio")


def output(*arguments: str) -> str:
    """Run a command that must succeed and say nothing on standard error."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def json_of(*arguments: str) -> Any:
    """Run a command with --json and return what it printed."""
    return json.loads(output(*arguments, "--json"))


def assert_fails(result: Result, code: int, *words: str) -> None:
    """Check exit code and the one line on standard error; nothing stands on standard output."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert_one_line(result.stderr, *words)


def assert_one_line(text: str, *words: str) -> None:
    """Check that an error is one line that names pymmio, without a traceback."""
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    assert text.startswith("pymmio"), text
    assert "Traceback" not in text
    for word in words:
        assert word in text, text


def run_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def plain(shown: str) -> str:
    """Return what a terminal showed without colours and movements of the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r\n", "\n")


def run_on_terminal(
    *arguments: str, columns: int = 80, typed: str = "", interrupt_at: str = ""
) -> tuple[int, str]:
    """Run a command on a terminal of its own; return its exit code and what it showed.

    ``typed`` is what the person types when it is asked something (a line that ends in ``: ``);
    when ``interrupt_at`` is seen, Ctrl-C is pressed.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("=HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,  # so that Ctrl-C reaches it and not the tests
        preexec_fn=_take_terminal,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(its)
    shown, is_interrupted, end = b"", False, time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < end:
            if not select.select([ours], [], [], _AGAIN_S)[0]:
                if is_interrupted:  # a signal just before a read of the terminal does not end it
                    os.write(ours, b"\x03")
                continue
            piece = _read(ours)
            if not piece:
                break
            shown += piece
            if typed and shown.endswith(b": "):
                os.write(ours, typed.encode())
                typed = ""
            if interrupt_at and not is_interrupted and interrupt_at.encode() in shown:
                os.write(ours, b"\x03")
                is_interrupted = True
        return process.wait(DEADLINE_S), shown.decode()
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody has the other end open any more
        return b""
