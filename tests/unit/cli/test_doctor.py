"""``pymmio doctor``."""

from __future__ import annotations

import json
import re

import pytest

import pymmio.doctor
from pymmio.doctor import Finding, Report, State
from tests.unit.cli.running import assert_fails, json_of, output, run, run_on_terminal, run_process

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
REPORT = Report(
    [
        Finding("iommu", "IOMMU", State.MISSING, "none in use", "Get one", ("vfio",)),
        Finding("kernel", "version", State.OK, "Linux 6.12"),
    ]
)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Report:
    report = Report(REPORT)
    monkeypatch.setattr(pymmio.doctor, "examine", lambda **_: report)
    monkeypatch.setattr(pymmio.doctor, "check", lambda purpose, **_: report.needed_for(purpose))
    return report


def test_a_pipe_gets_one_line_for_each_finding(machine: Report) -> None:
    assert output("doctor").splitlines() == [
        "state    topic   name     seen         next step",
        "missing  iommu   IOMMU    none in use  Get one",
        "ok       kernel  version  Linux 6.12   -",
    ]


def test_json_is_a_list_of_findings(machine: Report) -> None:
    assert json_of("doctor") == [finding.as_dict() for finding in machine]


def test_what_is_missing_is_no_failure_unless_it_is_checked(machine: Report) -> None:
    assert run("doctor").exit_code == 0


def test_check_shows_what_is_needed_and_fails_without_it(machine: Report) -> None:
    code, out = _exit_of("doctor", "--check", "vfio", "--json")
    assert code == 1
    assert [finding["name"] for finding in json.loads(out)] == ["IOMMU"]


def test_check_succeeds_with_all_of_it(machine: Report) -> None:
    machine[0] = Finding("iommu", "IOMMU", State.OK, "there", needed_for=("vfio",))
    assert _exit_of("doctor", "--check", "vfio")[0] == 0


def _exit_of(*arguments: str) -> tuple[int, str]:
    """Return the exit code as a process would have it, and standard output."""
    from click.testing import CliRunner

    from pymmio.cli.app import cli

    result = CliRunner().invoke(cli, arguments, prog_name="pymmio")
    assert result.stderr == ""
    return result.exit_code, result.stdout


def test_another_purpose_is_wrong_usage() -> None:
    assert_fails(run("doctor", "--check", "nvme"), 2, "'nvme' cannot be checked", "vfio")
    assert_fails(run("doctor", "--check", "vfio:here"), 2, "not a PCI address")
    assert_fails(run("doctor", "--check", "vfio:ffff:ff:1f.7"), 4, "ffff:ff:1f.7")


def test_looks_at_this_machine() -> None:
    done = run_process("doctor", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert {"iommu", "vfio", "memory", "processor", "kernel", "qemu", "software"} <= {
        finding["topic"] for finding in found
    }
    assert set(found[0]) == {"topic", "name", "state", "seen", "next_step", "needed_for"}


def test_the_exit_code_of_a_check_is_its_answer() -> None:
    done = run_process("doctor", "--check", "vfio", "--json")
    states = [finding["state"] for finding in json.loads(done.stdout)]
    assert states
    assert done.returncode == (0 if set(states) <= {"ok", "warn"} else 1)


@pytest.mark.parametrize("columns", [50, 80, 132])
def test_a_terminal_gets_tables_that_fit(columns: int) -> None:
    code, shown = run_on_terminal("doctor", columns=columns)
    assert code == 0
    lines = ESCAPE.sub("", shown).splitlines()
    lines = lines[lines.index("iommu") :]  # behind the progress, which is wiped out
    assert max(map(len, lines)) == columns
    assert any(
        line.startswith("\N{BOX DRAWINGS LIGHT VERTICAL} \N{HEAVY CHECK MARK}") for line in lines
    )
    assert re.search(r"\d+ ok", lines[-1])
