"""Which instructions are one plain access: literal patterns for each architecture.

An instruction counts as an access only if its text matches a pattern: one load or store between
one register and memory.  Whatever is not listed is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pymmio.check.accessors.tools import load

__all__ = ["MACHINES", "Access", "Instruction", "decode", "decoder"]

BEFORE = 4
"""Bytes in front of an instruction that may say its width: LGHI of s390x."""


@dataclass(frozen=True, slots=True)
class Access:
    """One access of ``width`` bytes; "mio" and "block" are instructions of s390x for PCI."""

    width: int
    is_store: bool
    kind: Literal["plain", "mio", "block"] = "plain"


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction as text, and the access that it is (None: not one plain access)."""

    text: str
    access: Access | None


@dataclass(frozen=True, slots=True)
class Machine:
    """How capstone is told about a machine, and what one access looks like there."""

    arch: str
    capstone_arch: str
    capstone_modes: tuple[str, ...]
    accesses: tuple[tuple[str, Access], ...]


def _both(loads: dict[int, str], stores: dict[int, str]) -> tuple[tuple[str, Access], ...]:
    return (
        *((pattern, Access(width, False)) for width, pattern in loads.items()),
        *((pattern, Access(width, True)) for width, pattern in stores.items()),
    )


_X86_SIZES = {1: "byte", 2: "word", 4: "dword", 8: "qword"}
_X86_REGISTERS = {
    1: r"(?:[abcd]l|sil|dil|bpl|spl|r\d+b)",
    2: r"(?:[abcd]x|[sd]i|[bs]p|r\d+w)",
    4: r"(?:e[abcd]x|e[sd]i|e[bs]p|r\d+d)",
    8: r"(?:r[abcd]x|r[sd]i|r[bs]p|r\d+)",
}
_X86_MEMORY = {width: rf"{size} ptr \[[^\]]+\]" for width, size in _X86_SIZES.items()}
# A plain base register: no offset, no index, no write-back, no pair.
_ARM_BASE = r"\[(?:x\d+|sp)\]"
_S390_BASE = r"%r\d+, 0\(%r\d+\)"

MACHINES = {
    "EM_X86_64": Machine(
        "x86_64",
        "CS_ARCH_X86",
        ("CS_MODE_64",),
        _both(
            {w: rf"mov {_X86_REGISTERS[w]}, {_X86_MEMORY[w]}" for w in _X86_SIZES},
            {w: rf"mov {_X86_MEMORY[w]}, {_X86_REGISTERS[w]}" for w in _X86_SIZES},
        ),
    ),
    "EM_AARCH64": Machine(
        "aarch64",
        "CS_ARCH_ARM64",
        ("CS_MODE_LITTLE_ENDIAN",),
        _both(
            {
                1: rf"ldrb w\d+, {_ARM_BASE}",
                2: rf"ldrh w\d+, {_ARM_BASE}",
                4: rf"ldr w\d+, {_ARM_BASE}",
                8: rf"ldr x\d+, {_ARM_BASE}",
            },
            {
                1: rf"strb w(?:\d+|zr), {_ARM_BASE}",
                2: rf"strh w(?:\d+|zr), {_ARM_BASE}",
                4: rf"str w(?:\d+|zr), {_ARM_BASE}",
                8: rf"str x(?:\d+|zr), {_ARM_BASE}",
            },
        ),
    ),
    "EM_RISCV": Machine(
        "riscv64",
        "CS_ARCH_RISCV",
        ("CS_MODE_RISCV64", "CS_MODE_RISCVC"),
        _both(
            {
                1: r"lbu \w+, 0\(\w+\)",
                2: r"lhu \w+, 0\(\w+\)",
                4: r"lwu \w+, 0\(\w+\)",
                8: r"(?:c\.)?ld \w+, 0\(\w+\)",
            },
            {
                1: r"sb \w+, 0\(\w+\)",
                2: r"sh \w+, 0\(\w+\)",
                4: r"(?:c\.)?sw \w+, 0\(\w+\)",
                8: r"(?:c\.)?sd \w+, 0\(\w+\)",
            },
        ),
    ),
    "EM_PPC64": Machine(
        "ppc64le",
        "CS_ARCH_PPC",
        ("CS_MODE_64", "CS_MODE_LITTLE_ENDIAN"),
        _both(
            {
                1: r"lbz \w+, 0\(\w+\)",
                2: r"lhz \w+, 0\(\w+\)",
                4: r"lwz \w+, 0\(\w+\)",
                8: r"ld \w+, 0\(\w+\)",
            },
            {
                1: r"stb \w+, 0\(\w+\)",
                2: r"sth \w+, 0\(\w+\)",
                4: r"stw \w+, 0\(\w+\)",
                8: r"std \w+, 0\(\w+\)",
            },
        ),
    ),
    # Ordinary instructions, for plain memory; those for PCI memory are below.
    "EM_S390": Machine(
        "s390x",
        "CS_ARCH_SYSZ",
        ("CS_MODE_BIG_ENDIAN",),
        _both(
            {
                1: f"llgc {_S390_BASE}",
                2: f"llgh {_S390_BASE}",
                4: f"llgf {_S390_BASE}",
                8: f"lg {_S390_BASE}",
            },
            {
                1: f"stc {_S390_BASE}",
                2: f"sth {_S390_BASE}",
                4: f"st {_S390_BASE}",
                8: f"stg {_S390_BASE}",
            },
        ),
    ),
}


@cache
def decoder(machine: str) -> Any:
    """Return capstone's decoder for an e_machine ("EM_X86_64"), with details."""
    capstone = load("capstone")
    facts = MACHINES[machine]
    mode = 0
    for name in facts.capstone_modes:
        mode |= getattr(capstone, name)
    made = capstone.Cs(getattr(capstone, facts.capstone_arch), mode)
    made.detail = True
    return made


def decode(machine: str, code: bytes, before: bytes = b"") -> Instruction:
    """Return the first instruction of ``code``; ``machine`` is an e_machine ("EM_X86_64").

    ``before`` are the bytes in front of it.  Raises ToolMissing without capstone.
    """
    if machine == "EM_S390" and (found := _memory_io(code, before)):
        return found
    for _, _, mnemonic, operands in decoder(machine).disasm_lite(code, 0, 1):
        text = f"{mnemonic} {operands}".strip()
        return Instruction(text, _access_of(MACHINES[machine], text))
    return Instruction(f"(not an instruction: {code[:4].hex()})", None)


def _access_of(facts: Machine, text: str) -> Access | None:
    for pattern, access in facts.accesses:
        if re.fullmatch(pattern, text):
            return access
    return None


LARGEST_BLOCK = 128
_PCILGI, _PCISTGI = b"\xb9\xd6", b"\xb9\xd4"


def _memory_io(code: bytes, before: bytes) -> Instruction | None:
    """Decode the PCI memory-I/O instructions of s390x, which capstone does not know.

    Source: Linux 6.15 arch/s390/pci/pci_mmio.c and rdma-core util/s390_mmio_insn.h.  Their length
    is in the odd register of the pair: only what the LGHI right in front sets is known.
    """
    if code[:2] in (_PCILGI, _PCISTGI):
        is_store = code[:2] == _PCISTGI
        data, place = code[3] >> 4, code[3] & 15
        name = "pcistgi" if is_store else "pcilgi"
        # LGHI: RI format, a7 r1 9 i2 (SA22-7832, "LOAD HALFWORD IMMEDIATE").
        width = None
        if len(before) == BEFORE and before[0] == 0xA7 and before[1] == ((place + 1) << 4 | 9):
            width = int.from_bytes(before[2:], "big")
        is_good = width in (1, 2, 4, 8) and place % 2 == 0 and data not in (place, place + 1)
        return Instruction(
            f"{name} %r{data}, %r{place} (length {width if width is not None else 'unknown'})",
            Access(width, is_store, "mio") if is_good and width else None,
        )
    if code[:1] == b"\xeb" and code[5:6] == b"\xd4":
        return Instruction(
            f"pcistbi %r{code[1] >> 4}, %r{code[1] & 15}, 0(%r{code[2] >> 4})",
            Access(LARGEST_BLOCK, True, "block"),
        )
    return None
