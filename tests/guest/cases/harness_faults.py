"""Cases that go wrong on purpose; test_harness.py runs them and looks at what is reported."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import sys
from pathlib import Path

from tests.guest.case import Skip, case
from tests.guest.inside import EDU, SHARE, bind_vfio, find_function, give_back


def passes() -> None:
    print("heard on stdout")
    print("heard on stderr", file=sys.stderr)
    (SHARE / "left-behind").write_text("by a case\n")


def fails() -> None:
    seen = {"answer": 41}
    print("just before")
    assert seen["answer"] == 42


def is_skipped() -> None:
    raise Skip("needs a device that is not there")


@case(timeout_s=1.0)
def hangs() -> None:
    print("going to wait")
    signal.pause()


def crashes() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leaves() -> None:
    sys.exit("left early")


def ends_its_process() -> None:
    os._exit(3)


def panics() -> None:
    Path("/proc/sysrq-trigger").write_text("c")


def kills_the_agent() -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


@case(timeout_s=1.0)
def stops_the_agent() -> None:
    os.kill(os.getppid(), signal.SIGSTOP)
    signal.pause()


@case(timeout_s=2.0)
def unbinds_what_it_holds() -> None:
    """Wait in the kernel where no signal helps: vfio-pci waits for the holder, which is itself."""
    function = find_function(EDU)
    group = os.open(bind_vfio(function), os.O_RDWR)
    container = os.open("/dev/vfio/vfio", os.O_RDWR)
    # Linux include/uapi/linux/vfio.h: GROUP_SET_CONTAINER, SET_IOMMU (type1v2), GET_DEVICE_FD
    fcntl.ioctl(group, 0x3B68, struct.pack("=i", container))
    fcntl.ioctl(container, 0x3B66, 3)
    fcntl.ioctl(group, 0x3B6A, bytearray(function.address.encode() + b"\0"))
    give_back(function)


def writes_the_disk() -> None:
    with Path("/dev/nvme0n1").open("r+b") as disk:
        disk.write(b"written in the guest".ljust(4096, b"\0"))
        disk.flush()
        os.fsync(disk.fileno())


def reads_the_disk() -> None:
    with Path("/dev/nvme0n1").open("rb") as disk:
        assert disk.read(4096).rstrip(b"\0") == b"changed on the host"
