"""QEMU's programs are asked for their version, and nothing else is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymmio.doctor import Finding, Host, State, qemu
from tests.unit.doctor.fake_host import FakeHost

NEW = "QEMU emulator version 11.1.0 (Debian 1:11.1.0+ds-1~bpo13+1)"
OLD = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"


def program(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def versions(*folders: Path) -> dict[str, Finding]:
    host = Host(path=":".join(map(str, folders)))
    return {finding.name: finding for finding in qemu.versions(host)}


def test_each_program_says_its_version(tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    program(bin_, "qemu-system-s390x", f"echo '{NEW}'")
    program(bin_, "qemu-system-x86_64", f"echo '{OLD}'")
    found = versions(bin_)
    assert found["qemu-system-s390x"].seen == f"11.1.0 ({bin_}/qemu-system-s390x)"
    assert found["qemu-system-s390x"].next_step == ""
    assert found["qemu-system-x86_64"].seen == f"7.2.22 ({bin_}/qemu-system-x86_64)"
    assert "10.1" in found["qemu-system-x86_64"].next_step
    assert {finding.state for finding in found.values()} == {State.OK}


def test_it_is_called_with_version_only_and_reads_nothing(tmp_path: Path) -> None:
    program(tmp_path, "qemu-system-x86_64", f'read x && exit 1; echo "{OLD} $*"; echo "$*" >&2')
    (finding,) = versions(tmp_path).values()
    assert finding.state is State.OK
    script = f'test "$*" = --version && echo "{OLD}"'
    program(tmp_path, "qemu-system-x86_64", script)
    (finding,) = versions(tmp_path).values()
    assert finding.state is State.OK


def test_the_first_in_the_path_counts_and_links_count_once(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    program(first, "qemu-system-x86_64", f"echo '{NEW}'")
    program(second, "qemu-system-x86_64", f"echo '{OLD}'")
    (second / "qemu-system-other").symlink_to(first / "qemu-system-x86_64")
    assert [f.seen for f in versions(first, second).values()] == [
        f"11.1.0 ({first}/qemu-system-x86_64)"
    ]


def test_other_files_are_not_started(tmp_path: Path) -> None:
    touch = f"touch {tmp_path}/started"
    for name in ("qemu-img", "qemu-system-x86_64-microvm", "qemu-system-x86_64.sh"):
        program(tmp_path / "bin", name, touch)
    (tmp_path / "bin/qemu-system-arm").write_text("not executable")
    (tmp_path / "bin/qemu-system-mips").mkdir()
    assert [f.name for f in versions(tmp_path / "bin").values()] == ["qemu-system-*"]
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("script", ["echo hello", "exit 1", "kill -9 $$"])
def test_a_program_that_says_something_else_is_unknown(tmp_path: Path, script: str) -> None:
    program(tmp_path, "qemu-system-x86_64", script)
    (finding,) = versions(tmp_path).values()
    assert finding.state is State.UNKNOWN
    assert "--version" in finding.next_step


def test_a_program_that_hangs_is_ended_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qemu, "DEADLINE_S", 0.05)
    program(tmp_path, "qemu-system-x86_64", "exec sleep 1000")
    (finding,) = versions(tmp_path).values()
    assert finding.state is State.UNKNOWN
    assert "said nothing for 0.05 s" in finding.seen


def test_a_program_that_does_not_run_is_unknown(tmp_path: Path) -> None:
    program(tmp_path, "qemu-system-x86_64", "")
    (tmp_path / "qemu-system-x86_64").write_bytes(b"\x7fELF nonsense")
    (finding,) = versions(tmp_path).values()
    assert finding.state is State.UNKNOWN


def test_kvm(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    assert next(iter(qemu.kvm(host))).state is State.INFO
    host.text("/dev/kvm", "")
    assert next(iter(qemu.kvm(host))).state is State.OK
    host.forbidden = {"/dev/kvm"}
    (finding,) = qemu.kvm(host)
    assert finding.state is State.INFO
    assert "usermod" in finding.next_step
