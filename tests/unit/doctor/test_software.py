"""Versions, names, udev, policy, and what is plugged in."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import EntryPoint, PackageNotFoundError
from pathlib import Path

import pytest

import pymmio
from pymmio.doctor import Host, State, software
from pymmio.policy import ALLOW_FILE_VARIABLE
from tests.unit.doctor.fake_host import FakeHost, only


def test_versions_are_those_of_this_process() -> None:
    found = list(software.versions(Host()))
    assert platform.python_version() in only(found, "Python").seen
    assert only(found, "pymmio").seen == pymmio.__version__
    assert "cffi " in only(found, "libraries").seen


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version_of(name: str) -> str:
        if name == "rich":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(software, "version_of", version_of)
    finding = only(software.versions(Host()), "libraries")
    assert (finding.state, finding.next_step) == (State.MISSING, "pip install rich")


def test_names_of_devices(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    assert next(iter(software.names(host))).state is State.INFO
    host.text("/usr/lib/udev/hwdb.bin", "")
    assert next(iter(software.names(host))).seen == "/usr/lib/udev/hwdb.bin"
    host.text("/usr/share/misc/pci.ids", "")
    (finding,) = software.names(host)
    assert (finding.state, finding.seen) == (State.OK, "/usr/share/misc/pci.ids")


def test_udev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(tmp_path)
    assert next(iter(software.udev(host))).state is State.INFO
    host.text("/run/udev/control", "")
    monkeypatch.setattr(software, "_LIBUDEV", "libc.so.6")
    assert next(iter(software.udev(host))).state is State.OK
    monkeypatch.setattr(software, "_LIBUDEV", "libno-such.so.1")
    assert next(iter(software.udev(host))).state is State.WARN


def test_the_allow_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    monkeypatch.delenv(ALLOW_FILE_VARIABLE, raising=False)
    assert next(iter(software.allow_file(host))).state is State.INFO
    file = tmp_path / "allowed"
    monkeypatch.setenv(ALLOW_FILE_VARIABLE, str(file))
    (finding,) = software.allow_file(host)
    assert finding.state is State.MISSING
    assert finding.needed_for == ("vfio",)
    file.write_text("# mine\nsim:*\n\nvfio:0000:01:00.0\n")
    (finding,) = software.allow_file(host)
    assert finding.state is State.INFO
    assert "2 patterns" in finding.seen


def test_own_drivers_models_and_backends_are_loaded() -> None:
    found = list(software.plug_ins(Host()))
    assert {finding.state for finding in found} == {State.OK}
    assert "nvme" in only(found, "drivers").seen
    assert "edu" in only(found, "models").seen
    assert {"sim", "vfio"} <= set(only(found, "backends").seen.split(", "))


def plugged(*entries: tuple[str, str]) -> Callable[..., list[EntryPoint]]:
    def entry_points(*, group: str) -> list[EntryPoint]:
        if group != "pymmio.drivers":
            return []
        return [EntryPoint(name, value, group) for name, value in entries]

    return entry_points


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_driver_that_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    (tmp_path / "their_bad_driver.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = plugged(("bad", "their_bad_driver"), ("edu", "pymmio_drivers.edu"))
    monkeypatch.setattr(software, "entry_points", entries)
    found = list(software.plug_ins(Host()))
    assert only(found, "drivers: bad").state is State.MISSING
    assert said in only(found, "drivers: bad").seen
    assert only(found, "drivers").seen == "edu"
    assert only(found, "models").state is State.MISSING
