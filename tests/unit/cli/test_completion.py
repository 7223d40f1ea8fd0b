"""Shell completion: the scripts, and what they are answered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pymmio.pci import PciAddress, PciDeviceInfo, PciResource, discover
from tests.unit.cli.running import DEADLINE_S, assert_fails, output, run, run_process

MODELS = sorted({entry.name for entry in entry_points(group="pymmio.models")})
WORDBREAKS = " \t\n\"'><=;|&(:"


def answers(line: str, wordbreaks: str = WORDBREAKS) -> list[str]:
    """Return what bash is given for a line that is completed at its end."""
    done = run_process(_PYMMIO_COMPLETE="bash_complete", COMP_LINE=line, COMP_WORDBREAKS=wordbreaks)
    assert done.stderr == ""
    return [answer.partition(",")[2] for answer in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_calls_the_program(shell: str) -> None:
    script = output("completion", shell)
    assert f"_PYMMIO_COMPLETE={shell}_complete" in script
    assert "pymmio" in script


def test_another_shell_is_told_with_those_that_there_are() -> None:
    assert_fails(run("completion", "csh"), 2, "bash", "zsh", "fish")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_takes_the_script(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [program, "-n"],
        input=output("completion", shell),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")


def complete_in_bash(tmp_path: Path, line: str) -> list[str]:
    """Load the script into bash, let its function complete ``line``, return COMPREPLY."""
    program = tmp_path / "pymmio"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pymmio.cli "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(output("completion", "bash"))
    code = """
. "$1"
COMP_LINE=$2 COMP_POINT=${#2}
_pymmio_completion pymmio
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", code, "bash", tmp_path / "script", line],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(tmp_path: Path) -> None:
    assert complete_in_bash(tmp_path, "pymmio nvme sm") == ["smart"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_behind_a_colon(tmp_path: Path) -> None:
    assert complete_in_bash(tmp_path, "pymmio regs sim:nv") == ["nvme"]


def test_commands_and_options() -> None:
    assert answers("pymmio pe") == ["peek"]
    assert answers("pymmio nvme fo") == ["format"]
    assert "--block-size" in answers("pymmio nvme format sim:nvme --")
    assert answers("pymmio nvme format --erase ") == ["none", "user", "crypto"]


def test_models_by_entry_point() -> None:
    assert {"edu", "nvme"} <= {*MODELS}
    assert answers("pymmio regs sim") == [f"sim:{name}" for name in MODELS]


def test_bash_replaces_only_what_follows_a_colon() -> None:
    assert answers("pymmio regs sim:") == MODELS
    assert answers("pymmio regs sim:nv") == ["nvme"]
    assert answers("pymmio regs sim:nv", wordbreaks=" \t\n") == ["sim:nvme"]


def test_a_quoted_uri_is_one_word_for_bash() -> None:
    assert answers("pymmio regs 'sim:nv") == ["sim:nvme"]
    assert answers('pymmio regs "sim:nv') == ["sim:nvme"]


def test_only_what_stands_before_the_cursor_counts() -> None:
    assert answers("pymmio regs sim:edu --dri") == ["--driver"]
    assert answers("pymmio regs sim:edu --driver nv") == ["nvme"]


def test_devices_of_this_machine_are_there() -> None:
    found = answers("pymmio config vfio", wordbreaks="")
    assert sorted(found) == sorted(f"vfio:{one.address}" for one in discover())
    found = answers("pymmio bind ", wordbreaks="")
    assert sorted(found) == sorted(str(one.address) for one in discover())


def test_regions_by_name() -> None:
    assert answers("pymmio peek sim:edu b") == [f"bar{index}" for index in range(6)]
    assert answers("pymmio peek sim:edu c") == ["config"]


def test_log_pages_and_features_by_name() -> None:
    assert answers("pymmio nvme log sim:nvme f") == ["firmware"]
    assert answers("pymmio nvme features sim:nvme --get vol") == ["volatile-write-cache"]
    assert answers("pymmio nvme features sim:nvme --set vol") == ["volatile-write-cache="]


def test_a_wrong_command_is_no_error_of_the_shell() -> None:
    assert "peek" in answers("pymmio toaster ")


def test_nothing_is_opened(must_not_open: object) -> None:
    import click

    from pymmio.cli.complete import complete_region, complete_uri
    from pymmio.cli.peek import peek

    ctx = click.Context(peek)
    ctx.params["uri"] = "sim:edu"
    assert complete_uri(ctx, peek.params[0], "sim:")
    assert complete_region(ctx, peek.params[1], "")


def function(address: str, driver: str | None, *bars: int) -> PciDeviceInfo:
    """Return a function of this machine as discover() gives it."""
    base = next(iter(discover()), None)
    if base is None:
        pytest.skip("this machine has no PCI device to start from")
    from dataclasses import replace

    return replace(
        base,
        address=PciAddress.parse(address),
        driver=driver,
        resources=tuple(PciResource(index, 0x1000, 4096) for index in bars),
    )


def test_what_is_bound_comes_first_and_only_its_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    from pymmio.cli import complete
    from pymmio.cli.peek import peek

    functions = [
        function("0000:00:01.0", "nvme", 0),
        function("0000:00:02.0", "vfio-pci", 0, 2, 6),
    ]
    monkeypatch.setattr("pymmio.pci.discover", lambda: functions)
    ctx = click.Context(peek)
    found = complete.complete_uri(ctx, peek.params[0], "vfio:")
    assert [one.value for one in found] == ["vfio:0000:00:02.0", "vfio:0000:00:01.0"]
    assert "vfio-pci" in found[0].help
    ctx.params["uri"] = "vfio:0000:00:02.0?interface=cdev"
    regions = complete.complete_region(ctx, peek.params[1], "")
    assert [one.value for one in regions] == ["bar0", "bar2", "rom", "config"]
