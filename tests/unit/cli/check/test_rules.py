"""``pymmio check rules``: verdicts, exit codes, JSON and the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pymmio.backend.sim.device import SimHandle
from tests.unit.cli.running import assert_fails, json_of, output, run


def test_a_rule_that_is_kept_is_shown_with_its_matrix() -> None:
    lines = output("check", "rules", "sim:access-recorder", "--rule", "strict-pci").splitlines()
    assert lines[0] == "strict-pci: kept by region, 0 of 384 accesses broken"
    assert lines[4].split() == ["2", *["2", "-"] * 8]


def test_a_broken_rule_is_an_exit_code_of_1() -> None:
    result = run(
        "check", "rules", "sim:access-recorder", "--rule", "nvme", "--subject", "strict", "--json"
    )
    assert result.exit_code == 1
    (report,) = json.loads(result.stdout)
    assert (report["rule"], report["subject"], report["verdict"]) == ("nvme", "strict", "broken")


def test_several_rules_are_a_line_each() -> None:
    text = output(
        "check", "rules", "sim:access-recorder", "--rule", "zpci", "--rule", "vfio-pci"
    )  # fmt: skip
    assert [line.split(":")[0] for line in text.splitlines()] == ["zpci", "vfio-pci"]


def test_all_rules_are_the_default(tmp_path: Path) -> None:
    page = tmp_path / "rules.html"
    result = run("check", "rules", "sim:access-recorder", "--html", str(page))
    assert len(result.stdout.splitlines()) == 12
    assert page.read_text().count("<section ") == 12


def test_json_is_a_list() -> None:
    reports = json_of("check", "rules", "sim:access-recorder", "--rule", "linux-io")
    assert [report["verdict"] for report in reports] == ["kept"]


def test_what_stands_between_is_named_with_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(SimHandle, "through", lambda self: "QEMU <11.1>", raising=False)
    page = tmp_path / "rules.html"
    arguments = ("check", "rules", "sim:access-recorder", "--rule", "zpci")
    assert output(*arguments, "--html", str(page)).splitlines()[0] == "through QEMU <11.1>"
    assert "through QEMU &lt;11.1&gt;" in page.read_text()
    (report,) = json_of(*arguments)
    assert report["through"] == "QEMU <11.1>"


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("sim:edu", "--rule", "zpci"), 1, "no log"),
        (("sim:access-recorder", "--rule", "loose"), 2, "'loose'"),
        (("sim:access-recorder", "--subject", "pread"), 1, "pread"),
        (("sim:access-recorder", "--rule", "zpci", "--html", "/nowhere/x.html"), 1, "/nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], code: int, word: str) -> None:
    assert_fails(run("check", "rules", *arguments), code, word)
