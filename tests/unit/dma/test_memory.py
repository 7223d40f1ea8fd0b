from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os

import pytest

from pymmio.dma.memory import SharedMemory
from pymmio.errors import DmaError, Unsupported

from .conftest import Footprint

SIZE = mmap.PAGESIZE * 2


def test_program_and_descriptor_see_the_same_zeroed_bytes() -> None:
    memory = SharedMemory(SIZE)
    view = memory.view()
    assert bytes(view) == bytes(SIZE)
    view[5:8] = b"abc"
    assert os.pread(memory.fd, 3, 5) == b"abc"
    assert ctypes.string_at(memory.address + 5, 3) == b"abc"
    view.release()
    memory.close()


def test_size_cannot_be_changed_by_who_gets_the_descriptor() -> None:
    memory = SharedMemory(SIZE)
    for size in (0, SIZE * 2):
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, size)
    memory.close()


def test_descriptor_does_not_survive_exec() -> None:
    memory = SharedMemory(SIZE)
    assert fcntl.fcntl(memory.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    memory.close()


def test_close_twice_leaves_nothing(footprint: Footprint) -> None:
    before = footprint()
    memory = SharedMemory(SIZE)
    assert footprint() != before
    memory.close()
    memory.close()
    assert footprint() == before


def test_views_keep_the_memory_after_close(footprint: Footprint) -> None:
    before = footprint()
    memory = SharedMemory(SIZE)
    view = memory.view()
    view[0] = 7
    memory.close()
    assert view[0] == 7
    del memory
    view.release()
    del view
    assert footprint() == before


@pytest.mark.parametrize(
    ("target", "name"),
    [(os, "memfd_create"), (os, "ftruncate"), (fcntl, "fcntl"), (mmap, "mmap")],
)
def test_failure_at_each_step_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, footprint: Footprint, target: object, name: str
) -> None:
    before = footprint()

    def fail(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOMEM, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(target, name, fail)
        with pytest.raises(DmaError, match=f"{SIZE} bytes.*injected"):
            SharedMemory(SIZE)
    assert footprint() == before


@pytest.mark.parametrize(
    ("number", "hugepages", "error", "hint"),
    [
        (errno.EMFILE, False, DmaError, "ulimit -n"),
        (errno.ENOMEM, True, DmaError, "vm.nr_hugepages"),
        (errno.ENOMEM, False, DmaError, "less memory"),
        (errno.EINVAL, True, Unsupported, "no huge pages"),
    ],
)
def test_refusals_of_the_kernel_name_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    hugepages: bool,
    error: type[Exception],
    hint: str,
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "memfd_create", fail)
    with pytest.raises(error, match=hint):
        SharedMemory(SIZE, hugepages=hugepages)
