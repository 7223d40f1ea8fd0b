"""What is recorded in the worker, and what becomes of subjects that misbehave."""

from __future__ import annotations

import platform

import pytest

from pymmio.check.accessors._recorder import lib
from pymmio.check.accessors.dynamic import Case, Observed, judge_recorded, observe
from pymmio.check.accessors.verdict import Direction, Judgement, Verdict

MACHINE = "EM_X86_64"
here = pytest.mark.skipif(
    not lib.pm_recorder_works() or platform.machine() != "x86_64",
    reason=f"the recorder of {platform.machine()} is shown by the arch tests",
)

pytest.importorskip("capstone")


def callable_case(name: str, width: int = 4, direction: Direction = "read") -> Case:
    target = f"tests.unit.check.accessors.callables:{name}"
    return Case(name, width, direction, {"callable": target})


def seen(*cases: Case, **options: float) -> list[Judgement]:
    found = observe(cases, tearing_s=0, **options)
    return [judge_recorded(MACHINE, *both) for both in zip(cases, found, strict=True)]


@here
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_one_access_is_exact(width: int) -> None:
    assert seen(callable_case("peek", width), callable_case("poke", width, "write")) == [
        Judgement(Verdict.EXACT),
        Judgement(Verdict.EXACT),
    ]


@here
def test_what_breaks_the_rule_is_told_apart() -> None:
    split, repeated, reads_before = seen(
        callable_case("byte_wise"),
        callable_case("twice"),
        callable_case("poke_after_reading", direction="write"),
    )
    assert split == Judgement(
        Verdict.SPLIT, "read 1 at +0, read 1 at +1, read 1 at +2, read 1 at +3"
    )
    assert repeated == Judgement(Verdict.REPEATED, "read 4 at +0, read 4 at +0")
    assert reads_before == Judgement(Verdict.REPEATED, "read 4 at +0, write 4 at +0")


@here
def test_a_subject_that_touches_nothing_is_unproven() -> None:
    (found,) = seen(callable_case("reads_nothing"))
    assert found == Judgement(Verdict.UNPROVEN, "no access was seen")


@here
def test_an_access_of_the_kernel_is_unproven() -> None:
    (found,) = seen(callable_case("through_the_kernel"))
    assert found.verdict is Verdict.UNPROVEN
    assert "Bad address" in found.detail


@here
def test_a_subject_that_prints_is_heard_none_the_less() -> None:
    assert seen(callable_case("noisy")) == [Judgement(Verdict.EXACT)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dies", "SIGSEGV"),
        ("aborts", "SIGABRT"),
        ("leaves", "ended with 3"),
        ("raises", "out of order"),
        ("missing", "missing"),
    ],
)
@here
def test_a_subject_that_misbehaves_is_unproven_and_the_next_goes_on(name: str, words: str) -> None:
    bad, good = seen(callable_case(name), callable_case("peek"))
    assert bad.verdict is Verdict.UNPROVEN
    assert words in bad.detail
    assert good.verdict is Verdict.EXACT


def test_a_subject_that_does_not_end_is_unproven() -> None:
    (found,) = observe([callable_case("hangs")], tearing_s=0, deadline_s=5)
    assert found.error == "did not end in 5 s"


def test_progress_is_told_up_to_the_whole() -> None:
    shares: list[float] = []
    observe([callable_case("peek")] * 3, tearing_s=0, progress=shares.append)
    assert shares == [pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0]


def recorded(*touches: dict[str, object], offset: int = 16) -> Observed:
    return Observed(recorded=({"offset": offset, "touches": list(touches)},))


def touch(code: str, offset: int = 16, write: int = 0) -> dict[str, object]:
    return {"offset": offset, "write": write, "code": code}


@pytest.mark.parametrize(
    ("machine", "touches", "direction", "verdict"),
    [
        (MACHINE, [touch("8b07")], "read", Verdict.EXACT),  # mov eax, [rdi]
        (MACHINE, [touch("8907", write=1)], "write", Verdict.EXACT),
        (MACHINE, [touch("a5")], "read", Verdict.EXACT),  # movsd: this side was read
        (MACHINE, [touch("a5", write=1)], "write", Verdict.EXACT),
        (MACHINE, [touch("0107", write=1)], "write", Verdict.REPEATED),  # add [rdi], eax
        (MACHINE, [touch("a4", 16), touch("a4", 17)], "read", Verdict.UNPROVEN),  # two of four
        (MACHINE, [touch("90")], "read", Verdict.UNPROVEN),  # nop: cannot have faulted
        # vmovdqu8 [rax]{k1}, zmm16: a mask decides
        (MACHINE, [touch("62e17f497f00", write=1)], "write", Verdict.UNPROVEN),
        (MACHINE, [touch("06")], "read", Verdict.UNPROVEN),  # no instruction
        ("EM_AARCH64", [touch("01084029", write=-1)], "read", Verdict.SPLIT),  # ldp: 8 bytes
        ("EM_AARCH64", [touch("010040b9", write=-1)], "read", Verdict.EXACT),
        ("EM_AARCH64", [touch("0000c03d", write=-1)], "read", Verdict.SPLIT),  # ldr q0
        ("EM_RISCV", [touch("83a50500", write=-1)], "read", Verdict.EXACT),  # lw
        ("EM_PPC64", [touch("2c1c607c", write=-1)], "read", Verdict.EXACT),  # lwbrx
    ],
)
def test_recorded_code_is_decoded(
    machine: str, touches: list[dict[str, object]], direction: Direction, verdict: Verdict
) -> None:
    case = Case("x", 4, direction)
    assert judge_recorded(machine, case, recorded(*touches)).verdict is verdict


def test_one_bad_place_spoils_the_good_ones() -> None:
    good, bad = touch("8b07"), touch("668b07")
    observed = Observed(
        recorded=({"offset": 16, "touches": [good]}, {"offset": 16, "touches": [bad, bad]})
    )
    assert judge_recorded(MACHINE, Case("x", 4, "read"), observed).verdict is Verdict.REPEATED


def test_nothing_recorded_proves_nothing() -> None:
    assert judge_recorded(MACHINE, Case("x", 4, "read"), Observed()).verdict is Verdict.UNPROVEN
