"""The served disk as Linux's own NVMe driver has it."""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.guest.inside import NVME, PCI, Function, find_functions, wait_until

MIB = 1 << 20
SIZE = 256 * MIB
PROBE_S = 30.0
MOUNT = Path("/run/disk")


def function() -> Function:
    """Return the PCI function of the disk: of the one that was put in last."""
    return find_functions(NVME)[-1]


def node() -> Path:
    """Return the block device, waiting until the kernel has made it."""
    card = function()
    wait_until(lambda: list(_disks(card)), PROBE_S, "the disk to appear")
    (name,) = _disks(card)
    path = Path("/dev") / name
    wait_until(path.exists, PROBE_S, f"{path} to appear")
    return path


def controller() -> Path:
    """Return the controller's folder in sysfs."""
    (path,) = (function().path / "nvme").iterdir()
    return path


def _disks(card: Function) -> list[str]:
    if not (card.path / "nvme").exists():
        return []
    return [path.name for path in (card.path / "nvme").glob("nvme*/nvme*n*") if path.is_dir()]


def unbind(card: Function) -> None:
    """Take the function from its driver."""
    (card.path / "driver/unbind").write_text(card.address)


def probe(card: Function) -> None:
    """Let the kernel choose a driver."""
    (PCI / "drivers_probe").write_text(card.address)


def run(*command: object) -> str:
    """Run a command and return what it printed; its complaints are part of the failure."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def mounted(path: Path) -> Iterator[Path]:
    """Mount a file system for the block."""
    MOUNT.mkdir(exist_ok=True)
    run("mount", "-t", "ext4", path, MOUNT)
    try:
        yield MOUNT
    finally:
        run("umount", MOUNT)


class Direct:
    """A block device without the page cache: every read and write is a command."""

    def __init__(self, path: Path, size: int = 128 << 10) -> None:
        self.size = size
        self._fd = os.open(path, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
        self._memory = mmap.mmap(-1, size)

    def read(self, offset: int, size: int) -> bytes:
        """Read a multiple of the block size."""
        with memoryview(self._memory)[:size] as view:
            done = os.preadv(self._fd, [view], offset)
            assert done == size, done
            return bytes(view)

    def write(self, offset: int, data: bytes) -> None:
        """Write a multiple of the block size."""
        with memoryview(self._memory)[: len(data)] as view:
            view[:] = data
            done = os.pwritev(self._fd, [view], offset)
            assert done == len(data), done

    def close(self) -> None:
        os.close(self._fd)
        self._memory.close()

    def __enter__(self) -> Direct:
        return self

    def __exit__(self, *of: object) -> None:
        self.close()


def pattern(seed: int, size: int) -> bytes:
    """Return bytes that look random."""
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    """Return what the host says of the same bytes."""
    return hashlib.sha256(data).hexdigest()
