"""The code that the init handed over is found again, and nothing else is taken for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.guest.guest import compile_project
from tests.guest.initramfs import EXIT_DONE, init_script, write_initramfs
from tests.guest.platforms import S390X, X86_64, Files


@pytest.mark.parametrize("code", [EXIT_DONE, EXIT_DONE + 1, EXIT_DONE + 2])
def test_debug_exit_doubles_the_code_and_adds_one(code: int) -> None:
    assert X86_64.exit_code(code << 1 | 1, []) == code


@pytest.mark.parametrize("status", [0, 1, 2, -9, 64])
def test_other_statuses_of_qemu_are_no_code(status: int) -> None:
    assert X86_64.exit_code(status, ["guest init: exit 32"]) is None


def test_code_is_in_the_last_line_that_the_init_printed() -> None:
    console = ["guest init: exit 33", "[    1.0] odd: guest init: exit 32", "reboot: power down"]
    assert S390X.exit_code(0, console) == EXIT_DONE


@pytest.mark.parametrize(
    ("status", "console"), [(1, ["guest init: exit 32"]), (-9, ["guest init: exit 32"]), (0, [])]
)
def test_qemu_that_did_not_end_by_itself_has_no_code(status: int, console: list[str]) -> None:
    assert S390X.exit_code(status, console) is None


def test_other_root_gets_the_project_and_its_modules(tmp_path: Path) -> None:
    foreign = Files(("qemu",), Path("kernel"), Path("busybox"), root=tmp_path)
    assert foreign.project == Path("/project")
    script = init_script(["a"], {}, "true", modules=["9p.ko"], project=foreign.project)
    assert script.index("insmod /modules/9p.ko") < script.index("p9 root /host")
    assert "lowerdir=/replaced:/project project /host/project" in script


def test_archive_has_the_folders_of_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "built").write_bytes(b"built for it")
    archive = tmp_path / "initramfs"
    write_initramfs(archive, "", tmp_path / "built", {"replaced/a/b.so": tmp_path / "built"})
    data = archive.read_bytes()
    assert (
        data.index(b"replaced\0") < data.index(b"replaced/a\0") < data.index(b"replaced/a/b.so\0")
    )


def test_boots_compile_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # with a lock of its own
    now, most = 0, 0

    def compile_slowly(files: Files, folders: Sequence[Path]) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        time.sleep(0.05)
        now -= 1

    platform = replace(S390X, compile=compile_slowly)
    files = Files(("qemu",), Path("kernel"), Path("busybox"), root=tmp_path)
    threads = [threading.Thread(target=compile_project, args=(platform, files)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
