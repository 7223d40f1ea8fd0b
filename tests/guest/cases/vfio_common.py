"""What the cases of the VFIO backend share: opened handles, child processes, waiting."""

from __future__ import annotations

import os
import select
import signal
import struct
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from pymmio.backend import vfio
from pymmio.backend.vfio.device import VfioDevice
from pymmio.backend.vfio.kernel import LinuxKernel
from pymmio.backend.vfio.noiommu import NoIommuWarning
from pymmio.dma.memory import SharedMemory
from pymmio.errors import Closed, PymmioError
from pymmio.handle import CONFIG_REGION, DeviceHandle
from pymmio.uri import DeviceUri
from tests.guest.inside import (
    NVME,
    Function,
    bind_vfio,
    bound_to_vfio,
    find_functions,
    give_back,
)
from tests.guest.interfaces import interface, uri_of

_kept: list[object] = []  # what would else be finalised

NOIOMMU_MODE = Path("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode")
HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")

COMMAND = 0x04  # PCI Local Bus 3.0 §6.2.2: bit 0 I/O, 1 memory, 2 bus master, 10 no INTx
IO_SPACE, MEMORY_SPACE, BUS_MASTER = 1 << 0, 1 << 1, 1 << 2


@contextmanager
def open_handle(address: str) -> Iterator[VfioDevice]:
    """Open a bound function for the block; memory decoding and bus mastering are on.

    It goes by the interface of the running case.  The block may close it.
    """
    handle = vfio.open(DeviceUri.parse(uri_of(address)))
    assert interface() in (handle.interface, "auto")
    try:
        set_command(handle, on=MEMORY_SPACE | BUS_MASTER)
        yield handle
    finally:
        with suppress(Closed):
            set_command(handle, off=BUS_MASTER)
        handle.close()


@contextmanager
def bound_handle(ids: tuple[int, int]) -> Iterator[VfioDevice]:
    """Bind the only function with these ids to vfio-pci and open it, both for the block."""
    with bound_to_vfio(ids) as function, open_handle(function.address) as handle:
        yield handle


def cdev_of(function: Function) -> str:
    """Return the node of a function that is bound to vfio-pci."""
    (name,) = os.listdir(function.path / "vfio-dev")
    return f"/dev/vfio/devices/{name}"


def nodes_of(function: Function) -> list[str]:
    """Return the nodes that a user must own to open a function by the running case's interface."""
    if interface() == "group":
        return [f"/dev/vfio/{function.iommu_group}"]
    return [cdev_of(function), "/dev/iommu"]


@contextmanager
def given_to(user: int, *nodes: str) -> Iterator[None]:
    """Let ``user`` own ``nodes`` for the block."""
    for node in nodes:
        os.chown(node, user, user)
    try:
        yield
    finally:
        for node in nodes:
            os.chown(node, 0, 0)


@contextmanager
def hidden(path: str) -> Iterator[None]:
    """Take a node away for the block, as it is in a container that was not given it."""
    os.rename(path, path + ".hidden")
    try:
        yield
    finally:
        os.rename(path + ".hidden", path)


class RemovingKernel(LinuxKernel):
    """The running kernel, in which somebody removes a device before its node is opened."""

    def __init__(self, function: Function) -> None:
        self._remove = function.path / "remove"

    def open(self, path: str, flags: int) -> int:
        """Open ``path``; nobody holds the device yet when it is removed."""
        if path.startswith("/dev/vfio/") and self._remove.exists():
            self._remove.write_text("1")
        return super().open(path, flags)


@contextmanager
def virtual_functions(token: str) -> Iterator[tuple[VfioDevice, list[Function]]]:
    """Open a physical function with ``token`` by the case's interface, then make two virtual ones.

    The kernel binds those to vfio-pci by itself.
    """
    (physical,) = find_functions(NVME)
    bind_vfio(physical)
    enable = Path("/sys/module/vfio_pci/parameters/enable_sriov")
    enable.write_text("1")
    count = physical.path / "sriov_numvfs"
    try:
        handle = vfio.open(DeviceUri.parse(uri_of(physical.address, vf_token=token)))
        try:
            count.write_text("2")
            yield handle, find_functions(NVME)[1:]
        finally:
            count.write_text("0")
            handle.close()
    finally:
        enable.write_text("0")
        give_back(physical)


def noiommu_uri(function: Function) -> str:
    """Return the URI of a function that is opened without an IOMMU."""
    return f"vfio:{function.address}?interface=noiommu"


@contextmanager
def bound_without_iommu(function: Function, *, pool: int = 24) -> Iterator[str]:
    """Bind a function without an IOMMU for the block, with so many huge pages in the pool."""
    warnings.simplefilter("ignore", NoIommuWarning)
    HUGE_PAGES.write_text(str(pool))
    NOIOMMU_MODE.write_text("1")
    (function.path / "driver_override").write_text("vfio-pci\n")
    if function.driver:
        (function.path / "driver" / "unbind").write_text(function.address)
    Path("/sys/bus/pci/drivers_probe").write_text(function.address)
    try:
        assert function.driver == "vfio-pci"
        yield noiommu_uri(function)
    finally:
        give_back(function)
        NOIOMMU_MODE.write_text("0")
        HUGE_PAGES.write_text("0")


def set_command(handle: DeviceHandle, *, on: int = 0, off: int = 0) -> None:
    config = handle.open_region(CONFIG_REGION)
    config.write(COMMAND, 2, config.read(COMMAND, 2) & ~off | on)


def shared_page(size: int = 0x1000) -> int:
    """Return the address of fresh shared memory that lives as long as this process."""
    memory = SharedMemory(size)
    _kept.append(memory)
    return memory.address


def open_descriptors() -> list[str]:
    """Name the files that this process has open, those of /proc apart."""
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # the one that listed them
            continue
    return sorted(name for name in names if not name.startswith("/proc"))


def in_child(work: Callable[[], None], *, timeout_s: float = 20.0) -> None:
    """Run ``work`` in a forked process, which may give up rights; raise what it raised."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(status)
    os.close(writing)
    try:
        said = _read_all(reading, timeout_s)
    finally:
        os.close(reading)
        if _is_running(pid):
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with {status}:\n{said}"


@contextmanager
def holding(work: Callable[[], object]) -> Iterator[int]:
    """Run ``work`` in a child that then keeps what it got until it is killed with SIGKILL.

    The value is the child's process id; the block begins when ``work`` has returned.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            _kept.append(work())
            os.write(writing, b"ready")
            while True:
                signal.pause()
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
        finally:
            os._exit(1)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], 20.0)
        said = os.read(reading, 1 << 16).decode() if ready else "nothing"
        assert said == "ready", f"the child that should hold the device said:\n{said}"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)


@contextmanager
def refuses(expected: type[PymmioError], *said: str) -> Iterator[None]:
    """Expect the block to raise ``expected`` with all of ``said`` in its message."""
    try:
        yield
    except expected as error:
        message = str(error)
    else:
        raise AssertionError(f"no {expected.__name__} was raised")
    missing = [part for part in said if part not in message]
    assert not missing, f"{missing} not in: {message}"


def events(fd: int, timeout_s: float) -> int:
    """Wait for an eventfd and return how often it was signalled, 0 after the time-out."""
    ready, _, _ = select.select([fd], [], [], timeout_s)
    return struct.unpack("=Q", os.read(fd, 8))[0] if ready else 0


def _read_all(fd: int, timeout_s: float) -> str:
    said, deadline = b"", monotonic() + timeout_s
    while True:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - monotonic()))
        if not ready:
            return said.decode() + "\n(the child did not end in time)"
        piece = os.read(fd, 1 << 16)
        if not piece:
            return said.decode()
        said += piece


def _is_running(pid: int) -> bool:
    """Tell whether a child still runs, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
