"""Functions read from literal code; each architecture's assembler made the bytes."""

from __future__ import annotations

import pytest

from pymmio.check.accessors.function import judge_function
from pymmio.check.accessors.shared_object import Function
from pymmio.check.accessors.verdict import Judgement, Verdict

pytest.importorskip("capstone")


def judged(machine: str, code: str, width: int, direction: str) -> Judgement:
    function = Function("f", 0, bytes.fromhex(code.replace(" ", "")))
    return judge_function(machine, function, width, direction)  # type: ignore[arg-type]


GOOD = [
    # mov eax, [rdi]; ret
    ("EM_X86_64", "8b07 c3", 4, "read"),
    # endbr64; push rbp; mov rbp, rsp; movzx eax, byte [rdi]; pop rbp; ret
    ("EM_X86_64", "f30f1efa 55 4889e5 0fb607 5d c3", 1, "read"),
    # mov rax, rdi; mov [rax], rsi; ret
    ("EM_X86_64", "4889f8 488930 c3", 8, "write"),
    # movq xmm0, [rdi]; ret
    ("EM_X86_64", "f30f7e07 c3", 8, "read"),
    # movq [rdi], xmm0; ret (capstone 5.0 says that it reads)
    ("EM_X86_64", "660fd607 c3", 8, "write"),
    # ldr w0, [x0]; ret
    ("EM_AARCH64", "000040b9 c0035fd6", 4, "read"),
    # str x1, [x0]; ret
    ("EM_AARCH64", "010000f9 c0035fd6", 8, "write"),
    # lwu a0, 0(a0); ret
    ("EM_RISCV", "03650500 8280", 4, "read"),
    # std r4, 0(r3); blr
    ("EM_PPC64", "000083f8 2000804e", 8, "write"),
    # llgf %r2, 0(%r2); br %r14
    ("EM_S390", "e32020000016 07fe", 4, "read"),
]


@pytest.mark.parametrize(("machine", "code", "width", "direction"), GOOD)
def test_one_access_in_a_straight_line_is_exact(
    machine: str, code: str, width: int, direction: str
) -> None:
    assert judged(machine, code, width, direction).verdict is Verdict.EXACT


@pytest.mark.parametrize(("machine", "code", "width", "direction"), GOOD)
def test_the_same_code_is_not_exact_for_another_width(
    machine: str, code: str, width: int, direction: str
) -> None:
    assert judged(machine, code, width * 2, direction).verdict is not Verdict.EXACT
    assert judged(machine, code, width, {"read": "write"}.get(direction, "read")).verdict is (
        Verdict.REPEATED
    )


@pytest.mark.parametrize(
    ("machine", "code", "width", "direction", "verdict"),
    [
        # mov eax, [rdi]; mov eax, [rdi]; ret
        ("EM_X86_64", "8b07 8b07 c3", 4, "read", Verdict.REPEATED),
        # or dword [rdi], esi; ret
        ("EM_X86_64", "0937 c3", 4, "write", Verdict.REPEATED),
        # mov eax, [rdi]; lea rdx, [rdi + 4]; mov ecx, [rdx]; ret
        ("EM_X86_64", "8b07 488d5704 8b0a c3", 8, "read", Verdict.SPLIT),
        # add rdi, 4; mov eax, [rdi - 4]; ret
        ("EM_X86_64", "4883c704 8b47fc c3", 4, "read", Verdict.EXACT),
        # movups xmm0, [rdi]; ret
        ("EM_X86_64", "0f1007 c3", 8, "read", Verdict.SPLIT),
        # ldp w1, w2, [x0]; ret
        ("EM_AARCH64", "01084029 c0035fd6", 8, "read", Verdict.SPLIT),
        # lbu a1, 0(a0); lbu a0, 1(a0); ret
        ("EM_RISCV", "83450500 03451500 8280", 2, "read", Verdict.SPLIT),
    ],
)
def test_what_breaks_the_rule_is_told_apart(
    machine: str, code: str, width: int, direction: str, verdict: Verdict
) -> None:
    assert judged(machine, code, width, direction).verdict is verdict


@pytest.mark.parametrize(
    ("machine", "code", "words"),
    [
        # test esi, esi; je +2; mov eax, [rdi]; ret
        ("EM_X86_64", "85f6 7402 8b07 c3", "je"),
        # call rax; ret
        ("EM_X86_64", "ffd0 c3", "call"),
        # jmp [rip]
        ("EM_X86_64", "ff2500000000", "jmp"),
        # mov rdi, rsi; mov eax, [rdi]; ret
        ("EM_X86_64", "4889f7 8b07 c3", "not the argument"),
        # mov edi, esi; mov eax, [rdi]; ret
        ("EM_X86_64", "89f7 8b07 c3", "not the argument"),
        # xor rdi, rsi; mov eax, [rdi]; ret
        ("EM_X86_64", "4831f7 8b07 c3", "not the argument"),
        # mov eax, [rdi + rsi]; ret
        ("EM_X86_64", "8b0437 c3", "not a plain base"),
        # rep movsb; ret
        ("EM_X86_64", "f3a4 c3", "not the argument"),
        # mov eax, [rdi], and the symbol ends
        ("EM_X86_64", "8b07", "behind its symbol's end"),
        # vpgatherqq ymm0, [rdi + ymm1], ymm2; ret
        ("EM_X86_64", "c4e2ed91040f c3", "not known"),
        # ldr w1, [x0], #4; ret
        ("EM_AARCH64", "014440b8 c0035fd6", "not a plain base"),
        # ldr w0, [x1]; ret
        ("EM_AARCH64", "200040b9 c0035fd6", "not the argument"),
        # cbz x1, +8; ret
        ("EM_AARCH64", "410000b4 c0035fd6", "cbz"),
        # ffffffff
        ("EM_AARCH64", "ffffffff", "no instruction"),
    ],
)
def test_what_is_not_simple_is_unproven_and_says_where(machine: str, code: str, words: str) -> None:
    found = judged(machine, code, 4, "read")
    assert found.verdict is Verdict.UNPROVEN
    assert words in found.detail
    assert "f" in found.detail
