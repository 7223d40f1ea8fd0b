"""The initramfs is an archive that others can read, with an init that quotes what it is given."""

from __future__ import annotations

import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.guest import initramfs
from tests.guest.explain import explain
from tests.guest.guest import Disk, Guest, qemu_command
from tests.guest.platforms import Files
from tests.guest.result import Result, read_results


def host_busybox_or_skip() -> Path:
    try:
        return initramfs.host_busybox()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_archive_unpacks_with_another_tool(tmp_path: Path) -> None:
    busybox = host_busybox_or_skip()
    archive = tmp_path / "initramfs"
    initramfs.write_initramfs(archive, "#!/bin/busybox sh\necho odd\n", busybox)
    out = tmp_path / "out"
    out.mkdir()
    with archive.open("rb") as stdin:
        command = [str(busybox), "cpio", "-i", "-d", "init", "bin/busybox"]
        subprocess.run(command, stdin=stdin, cwd=out, check=True, timeout=10, capture_output=True)
    assert (out / "init").read_text() == "#!/bin/busybox sh\necho odd\n"
    assert (out / "init").stat().st_mode & 0o777 == 0o755
    assert (out / "bin/busybox").read_bytes() == busybox.read_bytes()


def test_archive_starts_with_the_newc_magic_and_is_padded(tmp_path: Path) -> None:
    empty = tmp_path / "busybox"
    empty.write_bytes(b"x")
    initramfs.write_initramfs(tmp_path / "initramfs", "", empty)
    data = (tmp_path / "initramfs").read_bytes()
    assert data.startswith(b"070701")
    assert data.endswith(b"TRAILER!!!\0" + bytes(-(110 + 11) % 4))
    assert len(data) % 4 == 0


def test_init_quotes_paths_and_is_valid_shell(tmp_path: Path) -> None:
    script = initramfs.init_script(["/a b/python", "x'y"], {"HOME": "/c d"}, "true")
    assert shlex.join(["/a b/python", "x'y"]) in script
    assert "'HOME=/c d'" in script
    subprocess.run(["sh", "-n"], input=script.encode(), check=True, timeout=10)


def test_agent_runs_with_this_interpreter() -> None:
    command, environment = initramfs.agent_command()
    assert command[0] == sys.executable
    project = Path(environment["PYTHONPATH"].partition(":")[0])
    assert (project / "tests/guest/agent.py").exists()


def test_command_line_escapes_commas_and_keeps_the_iommu_first(tmp_path: Path) -> None:
    guest = Guest(devices=("nvme,serial=a,drive=d0",), disks=(Disk("d0", 4096),))
    folder = tmp_path / "a,b"
    files = Files(qemu=("qemu",), kernel=Path("kernel"), busybox=Path("busybox"))
    command = qemu_command(guest, folder, {"d0": folder / "d0.img"}, files)
    assert f"if=none,id=d0,format=raw,file={tmp_path}/a,,b/d0.img" in command
    devices = [value for flag, value in pairwise(command) if flag == "-device"]
    assert devices[0].startswith("intel-iommu,")
    assert devices[-1] == "nvme,serial=a,drive=d0"


def test_result_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert read_results(path) == {}
    whole = Result("m:a", "failed", "why\nlines", "out", 1.5)
    path.write_text(whole.to_json() + "\n" + Result("m:b", "passed").to_json()[:20])
    assert read_results(path) == {"m:a": whole}


@pytest.mark.parametrize("line", ["[]", "{}", '{"outcome": "maybe"}', '{"outcome": "passed"}', "x"])
def test_what_is_not_a_result_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        Result.from_json(line)


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("broken")


def test_explanation_shows_local_values_even_if_one_is_broken() -> None:
    def fails() -> None:
        broken, answer, long = Unprintable(), 41, "x" * 5000
        assert answer == 42, (broken is None, len(long))

    with pytest.raises(AssertionError) as caught:
        fails()
    text = explain(caught.value, __name__)
    assert "assert answer == 42" in text
    assert "  answer = 41\n" in text
    assert "  broken = <Unprintable instance at" in text
    assert len(text) < 2500
