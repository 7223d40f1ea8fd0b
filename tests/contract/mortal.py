"""A vfio-user server that is killed in a check."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymmio
from pymmio.device import Device

__all__ = ["OPTIONS", "Mortal", "mortal"]

OPTIONS: dict[str, dict[str, str]] = {"edu": {}, "nvme": {"size": "16M"}, "access-recorder": {}}


class Mortal:
    """A server that is killed in a check, and is there again when the device is opened."""

    def __init__(self, model: str, socket: Path) -> None:
        self.uri = f"vfio-user:{socket}"
        self._command = [
            *(sys.executable, "-m", "pymmio.cli", "serve", model, f"--socket={socket}"),
            f"--owner={os.getpid()}",
            *(f"--option={name}={value}" for name, value in OPTIONS[model].items()),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def open(self, uri: str, **options: object) -> Device:
        """Open the device; start its server before where it has none."""
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
            assert self._process.stdout is not None
            assert self._process.stdout.readline()
        return pymmio.open_device(uri, **options)  # type: ignore[arg-type]

    def kill(self, device: Device | None = None) -> None:
        """End it without a word."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


@contextmanager
def mortal(model: str, socket: Path) -> Iterator[Mortal]:
    server = Mortal(model, socket)
    try:
        yield server
    finally:
        server.kill()
