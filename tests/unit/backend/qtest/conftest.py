"""Devices of a QEMU that is a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pymmio.backend.qtest import QtestHandle, opening
from pymmio.backend.qtest import open as open_qemu
from pymmio.uri import DeviceUri
from tests.unit.backend.qtest.fake_qemu import FakeQemu

Opener = Callable[..., tuple[QtestHandle, FakeQemu]]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that passes for QEMU; nobody runs it."""
    path = tmp_path / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    monkeypatch.setenv("PYMMIO_QEMU", str(path))
    return path


@pytest.fixture
def fakes(program: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeQemu]:
    """The QEMUs that were started, which are threads."""
    found: list[FakeQemu] = []

    def start(command: list[str], *, fds: tuple[int, ...]) -> FakeQemu:
        found.append(FakeQemu(command, fds=fds))
        return found[-1]

    monkeypatch.setattr(opening, "QemuProcess", start)
    return found


@pytest.fixture
def opened(fakes: list[FakeQemu]) -> Iterator[Opener]:
    """Open ``qemu:rig``, or another URI, over a fake."""
    handles: list[QtestHandle] = []

    def make(uri: str = "qemu:rig?ram=16M") -> tuple[QtestHandle, FakeQemu]:
        handles.append(open_qemu(DeviceUri.parse(uri)))
        return handles[-1], fakes[-1]

    yield make
    for handle in handles:
        handle.close()
    for fake in fakes:
        fake.stop()
