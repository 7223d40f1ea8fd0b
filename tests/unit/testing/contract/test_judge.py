"""Verdicts: what a subject keeps, breaks, excludes; the command around them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pymmio.testing.contract
from pymmio.errors import BadArgument, Closed
from pymmio.testing.contract import (
    Ability,
    Check,
    ContractBroken,
    Group,
    Lack,
    Outcome,
    Subject,
    checks,
    examine,
    judge,
)
from pymmio.testing.contract.__main__ import main


def _kept(subject: Subject) -> None:
    """Is kept.

    Always.
    """


def _broken(subject: Subject) -> None:
    raise AssertionError("seen")


def make(function: Callable[[Subject], None], *needs: Ability) -> Check:
    return Check(Group.RULES, frozenset(needs), function)


@pytest.mark.parametrize(
    ("function", "lack", "expected"),
    [
        (_kept, None, Outcome.KEPT),
        (_broken, None, Outcome.BROKEN),
        (_broken, "no", Outcome.EXCEPTED),
        (_kept, "no", Outcome.HOLDS),
        (_kept, Lack("no", untried=True), Outcome.EXCEPTED),
        (_kept, Lack("no", sometimes=True), Outcome.HOLDS),
    ],
)
def test_verdicts(function, lack, expected) -> None:
    lacks = {} if lack is None else {function.__name__: lack}
    assert judge(make(function), Subject("sim:edu", lacks=lacks)).outcome is expected


def test_a_lack_of_an_ability_is_one_of_all_that_need_it() -> None:
    check = make(_broken, Ability.DMA)
    verdict = judge(check, Subject("sim:edu", lacks={Ability.DMA: "no IOMMU"}))
    assert (verdict.outcome, verdict.detail) == (Outcome.EXCEPTED, "no IOMMU")


def test_what_a_device_cannot_show_is_not_asked() -> None:
    verdict = judge(make(_broken, Ability.RECORD), Subject("sim:edu"))
    assert verdict.outcome is Outcome.NOT_ASKED
    verdict.raise_if_bad()


def test_removal_and_sharing_are_asked_where_they_can_be() -> None:
    check = make(_broken, Ability.REMOVAL, Ability.SHARING)
    assert judge(check, Subject("sim:edu", other="sim:edu")).outcome is Outcome.NOT_ASKED
    subject = Subject("sim:edu", other="sim:edu", remove=lambda device: None)
    assert judge(check, subject).outcome is Outcome.BROKEN


def test_running_a_broken_check_raises_what_was_seen() -> None:
    with pytest.raises(AssertionError, match="seen"):
        make(_broken).run(Subject("sim:edu"))


def test_running_an_exception_that_holds_raises() -> None:
    with pytest.raises(ContractBroken, match="_kept is kept, although no: take it from"):
        make(_kept).run(Subject("sim:edu", lacks={"_kept": "no"}))
    make(_kept).run(Subject("sim:edu", lacks={"_kept": Lack("no", sometimes=True)}))
    make(_broken).run(Subject("sim:edu", lacks={"_broken": "no"}))


def test_the_promise_is_the_first_paragraph() -> None:
    assert make(_kept).promise == "Is kept."
    assert make(_broken).promise == "broken"


def test_examine_tells_each_verdict_and_goes_on() -> None:
    told: list[Outcome] = []
    found = examine(
        Subject("sim:edu"), [make(_broken), make(_kept)], tell=lambda v: told.append(v.outcome)
    )
    assert told == [verdict.outcome for verdict in found] == [Outcome.BROKEN, Outcome.KEPT]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sim:edu", "edu"),
        ("sim:nvme?size=16M", "nvme"),
        ("qemu:nvme,serial=x?drive=edu", "nvme"),
        ("sim:access-recorder", "access-recorder"),
    ],
)
def test_the_kind_of_device_is_taken_from_the_uri(uri: str, expected: str) -> None:
    assert Subject(uri).device == expected


@pytest.mark.parametrize("uri", ["vfio-user:/run/edu.sock", "vfio:0000:01:00.0", "sim:other"])
def test_a_uri_that_names_no_kind_needs_one(uri: str) -> None:
    with pytest.raises(BadArgument, match="device="):
        Subject(uri)
    assert Subject(uri, "nvme").device == "nvme"


def test_each_check_has_a_name_of_its_own_and_a_promise() -> None:
    names = [check.name for check in checks()]
    assert len(set(names)) == len(names)
    assert all(check.function.__doc__ for check in checks())


def test_kinds_of_devices_are_asked_for_what_they_can_show() -> None:
    recorder = {check.name for check in checks("access-recorder")}
    edu = {check.name for check in checks("edu")}
    assert "a_read_is_one_read" in recorder - edu
    assert "dma_goes_both_ways" in edu - recorder
    assert recorder | edu < {check.name for check in checks()}


def test_deadlines_are_multiplied() -> None:
    assert Subject("sim:edu", patience=3).seconds(2) == 6


def test_an_exerciser_of_a_closed_device_is_left_alone() -> None:
    subject = Subject("sim:edu")
    with subject.exerciser() as exerciser:
        exerciser.device.close()
    with pytest.raises(Closed):
        exerciser.prove()


def test_the_package_knows_no_pytest() -> None:
    program = "import sys, pymmio.testing.contract.__main__; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
    for path in Path(pymmio.testing.contract.__file__).parent.rglob("*.py"):
        assert "import pytest" not in path.read_text(), path


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim:edu", "--group", "tracing"]) == 0
    assert capsys.readouterr().out.split() == [
        *("kept", "broken", "not", "asked"),
        *("tracing", "3", ".", "."),
    ]


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim:edu", "--group", "tracing", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["outcome"] for line in lines} == {"kept"}
    assert {line["group"] for line in lines} == {"tracing"}


def test_the_command_says_what_it_cannot_open(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim:edu?nonsense=1"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_the_command_ends_with_1_for_a_broken_promise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pymmio.testing.contract.__main__.checks", lambda device: [make(_broken)])
    assert main(["sim:edu"]) == 1
    assert "AssertionError: seen" in capsys.readouterr().out


def test_the_command_is_told_what_a_device_lacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = make(_broken)
    monkeypatch.setattr("pymmio.testing.contract.__main__.checks", lambda device=None: [broken])
    assert main(["sim:edu", "--lacks", f"{broken.name}=it is broken = true"]) == 0
    assert "excepted" in capsys.readouterr().out


def test_the_command_ends_with_1_for_a_promise_that_holds_after_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "registers_answer_in_32_bits"
    assert main(["sim:edu", "--group", "rules", "--group", "regions", "--lacks", f"{name}=no"]) == 1
    assert f"{name}: holds" in capsys.readouterr().out


def test_the_command_refuses_a_lack_that_nothing_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["sim:edu", "--group", "tracing", "--lacks", "dma=no memory"]) == 2
    assert "--lacks dma: nothing that is asked here needs it" in capsys.readouterr().err


def test_the_command_refuses_a_lack_that_it_does_not_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for lack, said in (("wheels=it flies", "'wheels'"), ("dma=", "NAME=REASON")):
        with pytest.raises(SystemExit, match="2"):
            main(["sim:edu", "--lacks", lack])
        assert said in capsys.readouterr().err
