"""Devices of a real QEMU, the system's and a newer one where the cache has it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pymmio
from tests import newer_qemu
from tests.qemu.needs import reason_not_ready

Open = Callable[..., pymmio.Device]

MACHINES = ("q35", "pc")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a QEMU where there is none."""
    reason = reason_not_ready()
    if reason is None:
        return
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(params=["system", "newer"])
def binary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each QEMU there is; the tests use it without naming it."""
    if request.param == "newer":
        if not newer_qemu.is_there():
            pytest.skip("no newer QEMU in the cache: python -m tests.newer_qemu")
        monkeypatch.setenv("PYMMIO_QEMU", str(newer_qemu.program()))
    return request.param


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    """Each kind of machine."""
    return request.param


@pytest.fixture
def opened() -> Iterator[Open]:
    """Open devices that are closed after the test."""
    devices: list[pymmio.Device] = []

    def make(uri: str, **options: object) -> pymmio.Device:
        devices.append(pymmio.open_device(uri, **options))  # type: ignore[arg-type]
        return devices[-1]

    yield make
    for device in devices:
        device.close()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk image of 16 MiB with nothing in it."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 16 << 20)
    return path


@pytest.fixture
def nvme(disk: Path) -> str:
    """The URI of an NVMe controller with that disk."""
    return f"qemu:nvme,serial=x?drive={disk}"
