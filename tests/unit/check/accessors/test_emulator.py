"""The other recorder: what it sees, and that without its tools nothing is proven."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from pymmio.check.accessors import Options, Verdict, emulator, prove_subjects
from pymmio.check.accessors.tools import ToolMissing

EMULATED = Options(recorder="emulator", tearing_s=0)
needs_emulator = pytest.mark.skipif(
    platform.machine() in emulator.BLIND
    or not (shutil.which(f"qemu-{platform.machine()}") and shutil.which("cc")),
    reason=f"needs a qemu-{platform.machine()} that shows all accesses, and a C compiler",
)


@needs_emulator
def test_both_recorders_agree_on_what_is_known() -> None:
    names = ["pymmio", "__builtin_memcpy", "glibc memcpy"]
    rows = prove_subjects(names, widths=[4], options=EMULATED)
    seen = {(row.subject, row.direction): row.dynamic for row in rows}
    assert seen["pymmio", "read"] is seen["pymmio", "write"] is Verdict.EXACT
    assert seen["__builtin_memcpy", "read"] is Verdict.EXACT
    assert seen["glibc memcpy", "read"] is Verdict.REPEATED
    assert seen["byte by byte", "read"] is seen["in two halves", "write"] is Verdict.SPLIT
    assert seen["twice", "write"] is Verdict.REPEATED


def test_without_the_emulator_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for row in prove_subjects(["pymmio"], widths=[4], options=EMULATED):
        assert row.dynamic is Verdict.UNPROVEN
        assert row.verdict is not Verdict.EXACT
        if row.subject == "pymmio":
            assert "is not installed" in row.detail or "does not show" in row.detail


def test_an_emulator_that_does_not_show_all_is_not_taken() -> None:
    with pytest.raises(ToolMissing, match="does not show all accesses"):
        emulator.emulator_for("s390x")


def fake(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_without_a_compiler_there_is_no_plugin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(ToolMissing, match="no C compiler"):
        emulator.build_plugin("qemu", [], tmp_path)


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_an_emulator_that_takes_no_plugin_is_told(tmp_path: Path) -> None:
    refusing = fake(tmp_path, "qemu-x", "echo 'plugins are off' >&2; exit 1")
    with pytest.raises(ToolMissing, match="qemu-x takes no plugin: plugins are off"):
        emulator.build_plugin(str(refusing), [sys.executable], tmp_path)


def test_a_compiler_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, "cc", "echo 'no space left' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(ToolMissing, match="does not compile: no space left"):
        emulator.build_plugin("qemu", [], tmp_path)


def test_recordings_are_read_up_to_the_last_that_ended(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    out.write_text("B\nR 16 4\nE\nB\nE\nB\nW 8 2\nR 8 2\nE\nB\nR 0 1\n")
    assert list(emulator.read_recordings(out)) == [
        [{"offset": 16, "width": 4, "write": 0}],
        [],
        [{"offset": 8, "width": 2, "write": 1}, {"offset": 8, "width": 2, "write": 0}],
    ]
