"""A device model in another process, reached by vfio-user: for tests of drivers."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pymmio.errors import DeviceGone, DeviceTimeout

__all__ = ["served"]

_START_S = 60.0
_END_S = 10.0


@contextmanager
def served(model: str, **options: object) -> Iterator[str]:
    """Serve the model of this name in a process of its own; give the URI that opens it.

    ``served("nvme", size="64M")`` takes the options of ``sim:nvme?size=64M``.  The process ends
    with the block, and by itself when this one dies.  Raises DeviceGone with what it said if it
    does not start, DeviceTimeout if it takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="pymmio-") as directory:
        socket = Path(directory) / "device.sock"
        with _process(model, socket, {k: str(v) for k, v in options.items()}):
            yield f"vfio-user:{socket}"


@contextmanager
def _process(
    model: str, socket: Path, options: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    said = [f"--option={name}={value}" for name, value in options.items()]
    command = [
        *(sys.executable, "-m", "pymmio.cli", "serve", model, f"--socket={socket}"),
        *(f"--owner={os.getpid()}", *said),
    ]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        try:
            if not _said_something(process):
                errors.seek(0)
                why = errors.read().decode("utf-8", "replace").strip()
                raise DeviceGone(f"the server of {model} did not start: {why}")
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)
            process.kill()


def _said_something(process: subprocess.Popen[bytes]) -> bool:
    """Wait for the line that says that it listens; False if the process ended instead."""
    assert process.stdout is not None
    deadline = time.monotonic() + _START_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(deadline - time.monotonic()):
            raise DeviceTimeout("the server of a model did not say in time that it listens")
    return bool(os.read(process.stdout.fileno(), 4096))
