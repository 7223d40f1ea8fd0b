"""What stands in the exception table is one access of the recorded width, and only that passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pymmio.arch import _core, lib
from tests.arch.architectures import Architecture
from tests.arch.conftest import Harness
from tests.arch.disassembly import Access, Record, SharedObject, decode

Build = Callable[[Architecture, str], Path]
EVERY_ACCESS = {Access(width, store) for width in (1, 2, 4, 8) for store in (False, True)}
EVERY_MIO = {Access(a.width, a.is_store, "mio") for a in EVERY_ACCESS} | {
    Access(128, True, "block")
}


def table_of(shared: SharedObject) -> list[Record]:
    """Return the records after each one was found to be what it claims."""
    records = list(shared.records())
    wrong = [
        f"{record.instruction:#x}: {found.text}, recorded as {record.claimed}"
        for record in records
        if (found := shared.instruction(record.instruction)).access != record.claimed
    ]
    assert wrong == []
    return records


def test_each_record_of_the_core_is_one_access_of_its_width(
    arch: Architecture, extension_of: Build
) -> None:
    records = table_of(SharedObject(extension_of(arch, "core")))
    wanted = EVERY_ACCESS | (EVERY_MIO if "mio" in arch.ways else set())
    assert {record.claimed for record in records} == wanted


def test_each_fixup_of_the_core_is_code(arch: Architecture, extension_of: Build) -> None:
    shared = SharedObject(extension_of(arch, "core"))
    for record in shared.records():
        assert "(not an instruction" not in shared.instruction(record.fixup).text


def test_no_instruction_is_recorded_twice(arch: Architecture, extension_of: Build) -> None:
    records = list(SharedObject(extension_of(arch, "core")).records())
    assert len({record.instruction for record in records}) == len(records)


@pytest.mark.usefixtures("arch")
def test_the_program_counts_as_many_records_as_stand_in_its_file(harness: Harness) -> None:
    shared = SharedObject(harness.program)
    assert harness.run("facts").only["records"] == len(table_of(shared))


def test_queue_engines_have_no_access_of_their_own(arch: Architecture, extension_of: Build) -> None:
    assert list(SharedObject(extension_of(arch, "engine")).records()) == []


def test_the_core_that_python_has_loaded_is_exact() -> None:
    records = table_of(SharedObject(Path(_core.__file__)))
    assert len(records) == lib.pm_ex_count()


def test_a_wrong_width_in_the_table_is_noticed(arch: Architecture, harness: Harness) -> None:
    shared = SharedObject(harness.program)
    for record in shared.records():
        found = shared.instruction(record.instruction).access
        assert found is not None
        assert found != Access(record.claimed.width * 2, record.claimed.is_store)
        assert found != Access(record.claimed.width, not record.claimed.is_store)


def test_an_address_outside_the_code_is_an_error(harness: Harness, arch: Architecture) -> None:
    with pytest.raises(ValueError, match="no code at 0x7fffffff0000"):
        SharedObject(harness.program).instruction(0x7FFFFFFF0000)


@pytest.mark.parametrize(
    ("machine", "code", "text", "access"),
    [
        ("EM_X86_64", "8b02", "mov eax, dword ptr [rdx]", Access(4, False)),
        ("EM_X86_64", "418a4508", "mov al, byte ptr [r13 + 8]", Access(1, False)),
        ("EM_X86_64", "66890a", "mov word ptr [rdx], cx", Access(2, True)),
        ("EM_X86_64", "4889340a", "mov qword ptr [rdx + rcx], rsi", Access(8, True)),
        ("EM_AARCH64", "200040f9", "ldr x0, [x1]", Access(8, False)),
        ("EM_AARCH64", "3f0000b9", "str wzr, [x1]", Access(4, True)),
        ("EM_RISCV", "8862", "c.ld a0, 0(a3)", Access(8, False)),
        ("EM_RISCV", "03e50500", "lwu a0, 0(a1)", Access(4, False)),
        ("EM_PPC64", "000064a0", "lhz r3, 0(r4)", Access(2, False)),
        ("EM_PPC64", "000064f8", "std r3, 0(r4)", Access(8, True)),
        ("EM_S390", "e31020000016", "llgf %r1, 0(%r2)", Access(4, False)),
        ("EM_S390", "42102000", "stc %r1, 0(%r2)", Access(1, True)),
    ],
)
def test_one_plain_access_is_known(machine: str, code: str, text: str, access: Access) -> None:
    found = decode(machine, bytes.fromhex(code))
    assert (found.text, found.access) == (text, access)


@pytest.mark.parametrize(
    ("machine", "code", "text"),
    [
        ("EM_X86_64", "a4", "movsb byte ptr [rdi], byte ptr [rsi]"),
        ("EM_X86_64", "f3a4", "rep movsb byte ptr [rdi], byte ptr [rsi]"),
        ("EM_X86_64", "0f1002", "movups xmm0, xmmword ptr [rdx]"),
        ("EM_X86_64", "8702", "xchg dword ptr [rdx], eax"),
        ("EM_X86_64", "0902", "or dword ptr [rdx], eax"),
        ("EM_X86_64", "0fb602", "movzx eax, byte ptr [rdx]"),
        ("EM_X86_64", "89d0", "mov eax, edx"),
        ("EM_X86_64", "648b02", "mov eax, dword ptr fs:[rdx]"),
        ("EM_AARCH64", "200440a9", "ldp x0, x1, [x1]"),
        ("EM_AARCH64", "208440f8", "ldr x0, [x1], #8"),
        ("EM_AARCH64", "208c40f8", "ldr x0, [x1, #8]!"),
        ("EM_AARCH64", "200440f9", "ldr x0, [x1, #8]"),
        ("EM_AARCH64", "206862f8", "ldr x0, [x1, x2]"),
        ("EM_AARCH64", "20008039", "ldrsb x0, [x1]"),
        ("EM_RISCV", "2fb5d500", "amoadd.d a0, a3, (a1)"),
        ("EM_RISCV", "83a50500", "lw a1, 0(a1)"),
        ("EM_PPC64", "040064e8", "ld r3, 4(r4)"),
        ("EM_PPC64", "2a2064e8", "lwa r3, 0x2028(r4)"),
        ("EM_S390", "58102000", "l %r1, 0(%r2)"),
        ("EM_S390", "e31020080016", "llgf %r1, 8(%r2)"),
        ("EM_S390", "d20710002000", "mvc 0(8, %r1), 0(%r2)"),
    ],
)
def test_everything_else_is_not_one_plain_access(machine: str, code: str, text: str) -> None:
    found = decode(machine, bytes.fromhex(code))
    assert (found.text, found.access) == (text, None)


@pytest.mark.parametrize(
    ("before", "code", "access"),
    [
        ("a7390004", "b9d60012", Access(4, False, "mio")),
        ("a7390008", "b9d40012", Access(8, True, "mio")),
        ("a7390003", "b9d60012", None),  # three bytes are no access
        ("a7490004", "b9d60012", None),  # another register's length
        ("", "b9d60012", None),
        ("a7490004", "b9d60013", None),  # an odd register is no pair
        ("a7390004", "b9d60022", None),  # the data goes where the address is
        ("a7390004", "b9d60032", None),
        ("", "eb12300000d4", Access(128, True, "block")),
        ("a7390004", "b9d50000", None),  # a barrier
    ],
)
def test_memory_io_of_s390x_is_one_access_of_the_length_set_before(
    before: str, code: str, access: Access | None
) -> None:
    assert decode("EM_S390", bytes.fromhex(code), bytes.fromhex(before)).access == access


def test_bytes_that_are_no_instruction_are_no_access() -> None:
    found = decode("EM_AARCH64", b"\xff\xff\xff\xff")
    assert (found.text, found.access) == ("(not an instruction: ffffffff)", None)
