"""Each promise notices at least one backend that breaks it: none of them is always kept."""

from __future__ import annotations

import importlib
import os

import pytest

from pymmio.testing.contract import Check, Outcome, Subject, checks, footprint, judge
from pymmio.testing.contract.expect import forked
from tests.contract.broken.handle import FAULTS, BrokenHandle, opener
from tests.contract.broken.table import ALSO, NOTICED
from tests.contract.test_sim import URIS

for name in ("regions", "memory", "interrupts", "life", "shared"):
    importlib.import_module(f"tests.contract.broken.{name}")

CHECKS = {check.name: check for check in checks()}
PATIENCE = 0.03
DEADLINE_S = 60


def test_each_promise_has_a_backend_that_breaks_it() -> None:
    assert set(NOTICED) == set(CHECKS)


def test_each_broken_backend_is_noticed() -> None:
    assert {fault.split()[0] for fault in (*NOTICED.values(), *ALSO)} == set(FAULTS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("said", "name"), [(said, name) for name, said in NOTICED.items()] + list(ALSO.items())
)
def test_a_broken_backend_is_noticed(said: str, name: str) -> None:
    check, fault = CHECKS[name], said.partition(" ")[0]
    kind = FAULTS[fault]
    subject = _subject(kind, check, said.partition(" ")[2], PATIENCE)
    assert _outcome(kind, check, subject) == Outcome.BROKEN, f"{fault} was not noticed by {name}"


@pytest.mark.parametrize(("name", "said"), NOTICED.items())
def test_without_its_fault_it_keeps_the_promise(name: str, said: str) -> None:
    check = CHECKS[name]
    check.run(_subject(BrokenHandle, check, said.partition(" ")[2], 1.0))


def _subject(kind: type[BrokenHandle], check: Check, device: str, patience: float) -> Subject:
    device = device or next(d for d in URIS if check in checks(d))
    uri = URIS[device]
    return Subject(
        uri,
        device,
        other=uri,
        remove=lambda one: one.handle.slot.unplug(),  # type: ignore[attr-defined]
        opener=opener(kind),
        patience=patience,
    )


def _outcome(kind: type[BrokenHandle], check: Check, subject: Subject) -> str:
    """Judge in a child: what is broken may leave threads, locks and mappings behind."""
    reading, writing = os.pipe()

    def child() -> None:
        os.close(reading)
        footprint._ENDING_S, footprint._CLOSING_S = 0.3, 0.1
        with kind.patched():
            verdict = judge(check, subject)
        os.write(writing, f"{verdict.outcome}\n{verdict.detail}"[:4000].encode())
        os._exit(0)

    pid = forked(child, deadline_s=DEADLINE_S)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="replace") as report:
        outcome, _, detail = report.read().partition("\n")
    os.waitpid(pid, 0)
    print(outcome, detail)
    return outcome
