"""pymmio's driver, QEMU without a guest, QEMU's vfio-user client, pymmio's model: all in a row."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pymmio.backend.qtest.handle import QtestHandle
from pymmio.errors import PymmioError
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from tests.vfio_user.cases.disk import MIB, pattern
from tests.vfio_user.serving import served, short_folder, uri_through_qemu

pytestmark = pytest.mark.usefixtures("qemu_ready")

SIZE = 64 * MIB


@pytest.fixture(scope="module")
def disk() -> Iterator[tuple[Path, Path]]:
    """Serve a disk; give its socket and its file."""
    with short_folder() as folder:
        image = folder / "disk.img"
        image.touch()
        os.truncate(image, SIZE)
        socket = folder / "nvme.sock"
        with served("nvme", socket, "--file", str(image)):
            yield socket, image


def on_host(image: Path, offset: int, size: int) -> bytes:
    with image.open("rb") as file:
        return os.pread(file.fileno(), size, offset)


@pytest.mark.parametrize("how", ["polling", "msix"])
def test_blocks_reach_the_file(disk: tuple[Path, Path], how: str) -> None:
    socket, image = disk
    data = pattern(len(how), MIB)
    interrupts = None if how == "polling" else how
    with Controller.open(uri_through_qemu(socket), interrupts=interrupts) as ctrl:  # type: ignore[arg-type]
        assert ctrl.interrupts == how
        ns = ctrl.namespaces[1]
        with ctrl.alloc(len(data)) as source, ctrl.alloc(len(data)) as target:
            with memoryview(source) as view:
                view[:] = data
            ns.write(source, lba=2048)
            ns.flush()
            ns.read(target, lba=2048)
            assert bytes(target) == data
    assert on_host(image, 2048 * 512, len(data)) == data


def test_a_qemu_that_is_killed_leaves_the_server_for_the_next(disk: tuple[Path, Path]) -> None:
    socket, image = disk
    data = pattern(9, 4096)
    with pytest.raises(PymmioError), Controller.open(uri_through_qemu(socket)) as ctrl:
        ctrl.namespaces[1].write_bytes(data, lba=8)
        handle = ctrl.device.handle
        assert isinstance(handle, QtestHandle)
        os.kill(handle.process.pid, signal.SIGKILL)
        ctrl.namespaces[1].read_bytes(lba=8, blocks=8)
    with Controller.open(uri_through_qemu(socket)) as ctrl:
        assert ctrl.namespaces[1].read_bytes(lba=8, blocks=8) == data
    assert on_host(image, 8 * 512, len(data)) == data


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_edu_computes_and_copies(machine: str) -> None:
    data = pattern(1, 1024)
    with short_folder() as folder, served("edu", folder / "edu.sock") as server:
        with Edu.open(uri_through_qemu(server.socket, machine=machine)) as edu:
            assert edu.factorial(10, by_interrupt=True) == 3628800
            with edu.alloc(len(data)) as source, edu.alloc(len(data)) as target:
                with memoryview(source) as view:
                    view[:] = data
                edu.copy_in(source, by_interrupt=True)
                edu.copy_out(target, by_interrupt=True)
                assert bytes(target) == data
