from __future__ import annotations

import errno
import os
import struct
import termios
from pathlib import Path

import pytest

from pymmio.backend.vfio.kernel import LinuxKernel

KERNEL = LinuxKernel()


def test_ioctl_changes_the_buffer_in_place() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"12345")
        answer = bytearray(4)
        assert KERNEL.ioctl(reading, termios.FIONREAD, answer) == 0
        assert struct.unpack("=i", answer) == (5,)
    finally:
        os.close(reading)
        os.close(writing)


def test_ioctl_raises_the_kernels_errno() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError) as caught:
            KERNEL.ioctl(reading, 0x3B64)
        assert caught.value.errno in (errno.ENOTTY, errno.EINVAL)
    finally:
        os.close(reading)
        os.close(writing)


def test_single_transfers(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(16))
    fd = KERNEL.open(str(path), os.O_RDWR)
    try:
        assert not os.get_inheritable(fd)
        assert KERNEL.pwrite(fd, b"abcd", 4) == 4
        assert KERNEL.pread(fd, 8, 2) == b"\0\0abcd\0\0"
    finally:
        KERNEL.close(fd)


def test_files_and_links(tmp_path: Path) -> None:
    (tmp_path / "vendor").write_text(" 0x1b36\n")
    (tmp_path / "driver").symlink_to("../drivers/nvme")  # dangling, and there nevertheless
    assert KERNEL.read_text(str(tmp_path / "vendor")) == "0x1b36"
    assert KERNEL.read_link(str(tmp_path / "driver")) == "../drivers/nvme"
    assert KERNEL.exists(str(tmp_path / "driver"))
    assert not KERNEL.exists(str(tmp_path / "nothing"))
    assert KERNEL.list_directory(str(tmp_path)) == ["driver", "vendor"]
    (tmp_path / "vendor").chmod(0o640)
    assert KERNEL.owner_of(str(tmp_path / "vendor")) == (os.getuid(), os.getgid(), 0o640)


def test_the_running_kernel_has_a_name() -> None:
    assert (KERNEL.release(), KERNEL.machine()) == (os.uname().release, os.uname().machine)
