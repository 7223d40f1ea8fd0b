"""What the tier says where something is missing."""

from __future__ import annotations

import pytest

from tests.arch import needs
from tests.arch.architectures import ARCHITECTURES, HOST


def test_needs_are_named_in_one_line_where_they_are_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("sys.argv", ["needs", "--install"])
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert needs.main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "as root: apt-get install" in line
    assert "gcc-s390x-linux-gnu" in line
    assert line.split().count("qemu-user") == 1


def test_each_architecture_names_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    for arch in ARCHITECTURES.values():
        reason = arch.reason_not_ready()
        assert reason is not None
        assert reason.startswith(f"{arch.name} needs apt-get install gcc")
        assert ("qemu-user" in reason) == (arch.name != HOST)
