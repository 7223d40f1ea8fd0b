"""``pymmio dump``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.running import assert_fails, json_of, output, run


def test_configuration_space_is_always_there(tmp_path: Path) -> None:
    said = output("dump", "sim:edu", str(tmp_path / "edu"))
    assert said.splitlines()[0].startswith(f"{tmp_path}/edu/dump.json  ")
    assert sorted(path.name for path in (tmp_path / "edu").iterdir()) == ["config.bin", "dump.json"]
    assert (tmp_path / "edu/config.bin").read_bytes()[:4] == bytes.fromhex("3412e811")


def test_a_bar_in_a_declared_width(tmp_path: Path) -> None:
    files = json_of("dump", "sim:nvme", str(tmp_path / "x"), "--bar", "bar0:32", "--force")["files"]
    assert [Path(name).name for name in files] == ["dump.json", "config.bin", "bar0.bin"]
    about = json.loads((tmp_path / "x/dump.json").read_text())
    assert about["regions"][1]["width"] == 4
    assert about["config"]["vendor_id"] == 0x1B36


def test_a_bar_that_no_driver_declares_is_read_by_force_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymmio.cli.drivers.DRIVER_GROUP", "pymmio.no-drivers")
    arguments = ("dump", "sim:nvme", str(tmp_path / "x"), "--bar", "0:32")
    assert_fails(run(*arguments), 1, "no driver declares", "Force it")
    assert not (tmp_path / "x").exists()
    assert run(*arguments, "--force").exit_code == 0
    assert (tmp_path / "x/bar0.bin").stat().st_size == 16384


def test_a_bar_that_does_not_exist(tmp_path: Path) -> None:
    assert_fails(run("dump", "sim:nvme", str(tmp_path / "y"), "--bar", "5:32"), 4, "no region 5")
    assert not (tmp_path / "y").exists()


def test_a_directory_that_exists(tmp_path: Path) -> None:
    assert_fails(run("dump", "sim:edu", str(tmp_path)), 2, "exists")


def test_wrong_bars(tmp_path: Path) -> None:
    for wrong in ("0", "0:33", "6:32", "rom:8", ":", "0:"):
        assert_fails(run("dump", "sim:edu", str(tmp_path / "x"), "--bar", wrong), 2, "BAR:WIDTH")
