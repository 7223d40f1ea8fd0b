"""Storage in files: created sparse, locked, refused where it cannot work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pymmio.errors import DeviceBusy, PermissionRefused, UriError
from pymmio.models.nvme import NvmeModel
from pymmio.models.nvme.status import CommandError
from pymmio.models.nvme.storage import FileStorage, MemoryStorage, Storage

from .nvme_driver import SUCCESS, Driver

PAGE = 4096


@pytest.fixture(params=["memory", "memory without discard", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param != "file":
        memory = MemoryStorage(1 << 20)
        memory._can_discard &= request.param == "memory"
        return memory
    return FileStorage(str(tmp_path / "disk"), 1 << 20)


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 1), (1, 510), (0, PAGE), (100, PAGE), (100, 3 * PAGE), (PAGE, 2 * PAGE), (0, 1 << 20)],
)
def test_zero_clears_exactly_its_range(storage: Storage, offset: int, size: int) -> None:
    storage.write(0, b"\xff" * storage.size)
    storage.zero(offset, size)
    data = bytes(storage.read(0, storage.size))
    assert data[:offset] == b"\xff" * offset
    assert data[offset : offset + size] == bytes(size)
    assert data[offset + size :] == b"\xff" * (storage.size - offset - size)
    storage.close()


def test_blocks_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    driver = Driver(file=str(path))
    driver.write(9, b"\xab" * 512)
    assert driver.submit_io(0x00).status == SUCCESS
    driver.model.close()
    assert path.stat().st_size == 16 << 20
    assert path.stat().st_blocks * 512 < 1 << 20, "the file is sparse"
    assert path.read_bytes()[9 * 512 : 10 * 512] == b"\xab" * 512
    again = Driver(file=str(path), size="16M")
    assert again.read(9, 512) == b"\xab" * 512


def test_a_file_gives_its_own_size(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(5 * 4096 + 100))
    model = NvmeModel(file=str(path))
    assert model.namespaces[1].block_count == 40
    model.close()


def test_a_file_is_cut_into_namespaces(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    model = NvmeModel(file=str(path), ns="4")
    assert [n.base for n in model.namespaces.values()] == [0, 1 << 18, 2 << 18, 3 << 18]
    model.close()


def test_a_file_that_does_not_exist_needs_a_size(tmp_path: Path) -> None:
    with pytest.raises(UriError, match="size="):
        NvmeModel(file=str(tmp_path / "missing"))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_needs_a_size(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UriError, match="empty"):
        NvmeModel(file=str(tmp_path / "empty"))


def test_a_file_that_is_larger_than_said_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"x" * 8192)
    with pytest.raises(UriError, match="8192"):
        NvmeModel(file=str(path), size="4096")
    assert path.read_bytes() == b"x" * 8192


def test_a_file_smaller_than_one_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny"
    path.write_bytes(b"x" * 100)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UriError, match="one block"):
        NvmeModel(file=str(path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UriError, match="cannot be opened"):
        NvmeModel(file=str(tmp_path))


def test_a_character_device_is_refused() -> None:
    with pytest.raises(UriError, match="regular file"):
        NvmeModel(file="/dev/null")


def test_a_read_only_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(8192))

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may open everything
    with pytest.raises(PermissionRefused, match="reading and writing"):
        NvmeModel(file=str(path))


def test_a_file_is_used_by_one_model_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "disk.img")
    first = NvmeModel(file=path, size="1M")
    with pytest.raises(DeviceBusy, match="another model"):
        NvmeModel(file=path)
    first.close()
    NvmeModel(file=path).close()


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    for model in (NvmeModel(size="1M"), NvmeModel(size="1M", file=str(tmp_path / "f"))):
        model.close()
        model.close()


def test_a_file_that_became_shorter_is_a_media_error(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    driver = Driver(file=str(path))
    os.truncate(path, 4096)
    buffer = driver.alloc(512)
    assert driver.submit_io(0x02, lba=8, prp1=buffer).status == 0x281
    assert driver.submit_io(0x02, lba=7, prp1=buffer).status == SUCCESS


@pytest.mark.parametrize(
    ("call", "name", "status"),
    [
        (lambda s: s.read(0, 512), "pread", 0x281),
        (lambda s: s.write(0, b"x"), "pwrite", 0x280),
        (lambda s: s.flush(), "fdatasync", 0x280),
        (lambda s: s.zero(0, 512), "lseek", 0x280),
    ],
)
def test_errors_of_the_file_are_media_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call, name: str, status: int
) -> None:
    storage = FileStorage(str(tmp_path / "disk"), 1 << 20)

    def fail(*arguments: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(CommandError) as error:
        call(storage)
    assert error.value.status == status


def test_flush_and_fua_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(file=str(tmp_path / "disk"))
    calls = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    buffer = driver.alloc(512)
    driver.submit_io(0x01, prp1=buffer)
    assert len(calls) == 0
    driver.submit_io(0x01, cdw12=1 << 30, prp1=buffer)
    assert len(calls) == 1
    driver.submit_io(0x00)
    assert len(calls) == 2
    driver.submit_admin(0x09, cdw10=0x06, cdw11=0)  # write cache off, which flushes
    assert len(calls) == 3
    driver.submit_io(0x01, prp1=buffer)
    assert len(calls) == 4
