"""The sdist and the wheel that is built from it, installed in an empty environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from pymmio.check.accessors import Verdict, prove_table

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.package
DEADLINE_S = 600


def run(*command: str | Path, cwd: Path) -> str:
    """Return what the command prints; fail with it if the command fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_REQ"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build from what git tracks or would track, so that stray files do not help."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    names = run("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", out, source, cwd=out)
    return out


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, and nothing of this checkout."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", venv, cwd=venv)
    run(venv / "bin/pip", "install", "--quiet", wheel, cwd=venv)
    return venv / "bin"


def test_the_wheel_is_abi3_for_this_architecture(wheel: Path) -> None:
    assert "-cp311-abi3-linux_" in wheel.name
    assert wheel.name.endswith(f"_{os.uname().machine}.whl")


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"pymmio", "pymmio_drivers"}
    for wanted in (
        "pymmio/arch/_core.abi3.so",
        "pymmio/arch/io.h",
        "pymmio/arch/s390x/io.h",
        "pymmio/mmio/doorbell.h",
        "pymmio/check/accessors/_recorder.abi3.so",
        "pymmio/check/accessors/qemu_plugin.c",
        "pymmio/py.typed",
        "pymmio_drivers/nvme/_engine.abi3.so",
        "pymmio_drivers/edu.py",
    ):
        assert wanted in names
    assert not [
        name
        for name in names
        if "/tests/" in name or name.endswith((".o", "_core.c", "_recorder.c"))
    ]


def test_every_python_file_of_the_checkout_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for root in (ROOT, ROOT / "drivers"):
        for package in ("pymmio", "pymmio_drivers"):
            for path in (root / package).rglob("*.py"):
                assert str(path.relative_to(root)) in names


def test_the_sdist_builds_and_holds_what_building_takes(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "pyproject.toml", "LICENSE", "pymmio/arch/fault.c"} <= names
    assert not [name for name in names if name.endswith(".so")]


def test_the_command_runs(installed: Path, tmp_path: Path) -> None:
    assert "0." in run(installed / "pymmio", "--version", cwd=tmp_path)
    assert "Usage" in run(installed / "pymmio", "--help", cwd=tmp_path)


def test_each_access_of_the_core_in_the_wheel_is_exact(wheel: Path) -> None:
    rows = prove_table(wheel)
    assert {(row.width, row.direction) for row in rows} >= {
        (width, direction) for width in (1, 2, 4, 8) for direction in ("read", "write")
    }
    for row in rows:
        assert row.static is Verdict.EXACT, row


def test_without_the_tools_of_the_check_nothing_is_proven(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [installed / "pymmio", "check", "accessors", "--subject", "pymmio", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)
    assert {(row["static"], row["dynamic"]) for row in rows} == {("unproven", "unproven")}
    assert {row["verdict"] for row in rows if row["subject"] == "pymmio"} == {"unproven"}


def test_a_driver_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    script = (
        "import pymmio, pymmio_drivers, sys\n"
        f"assert not pymmio.__file__.startswith({str(ROOT)!r})\n"
        "from pymmio_drivers.nvme import Controller\n"
        "with Controller.open('sim:nvme?size=1M') as ctrl:\n"
        "    ns = ctrl.namespaces[1]\n"
        "    buf = ctrl.alloc(4096)\n"
        "    memoryview(buf)[:5] = b'hello'\n"
        "    ns.write(buf, lba=8)\n"
        "    print(ns.read_bytes(lba=8, blocks=1)[:5])\n"
    )
    assert run(installed / "python", "-c", script, cwd=tmp_path) == "b'hello'\n"
