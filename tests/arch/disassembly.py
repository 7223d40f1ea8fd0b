"""Look at the access instructions of a shared object: the table says where, capstone says what.

Every accessor has a record in the section ``pm_extable`` (pymmio/arch/extable.h).  An
instruction counts as an access only if its text matches a literal pattern of the architecture:
one load or store between one register and memory.  Whatever is not listed is none.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import capstone
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile

SECTION = "pm_extable"
STORE = 0x100  # PM_EX_STORE
_LONGEST_INSTRUCTION = 16


@dataclass(frozen=True, slots=True)
class Access:
    """One access of ``width`` bytes."""

    width: int
    is_store: bool


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the exception table: virtual addresses, and what it claims the access is."""

    instruction: int
    fixup: int
    claimed: Access


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction as text, and the access that it is (None: not one plain access)."""

    text: str
    access: Access | None


@dataclass(frozen=True, slots=True)
class _Machine:
    capstone_arch: int
    capstone_mode: int
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

_MACHINES = {
    "EM_X86_64": _Machine(
        capstone.CS_ARCH_X86,
        capstone.CS_MODE_64,
        _both(
            {w: rf"mov {_X86_REGISTERS[w]}, {_X86_MEMORY[w]}" for w in _X86_SIZES},
            {w: rf"mov {_X86_MEMORY[w]}, {_X86_REGISTERS[w]}" for w in _X86_SIZES},
        ),
    ),
    "EM_AARCH64": _Machine(
        capstone.CS_ARCH_ARM64,
        capstone.CS_MODE_LITTLE_ENDIAN,
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
    "EM_RISCV": _Machine(
        capstone.CS_ARCH_RISCV,
        capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC,
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
    "EM_PPC64": _Machine(
        capstone.CS_ARCH_PPC,
        capstone.CS_MODE_64 | capstone.CS_MODE_LITTLE_ENDIAN,
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
    # PCI memory is not reached by ordinary instructions, and there are no accessors yet.
    "EM_S390": _Machine(capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN, ()),
}


def decode(machine: str, code: bytes) -> Instruction:
    """Return the first instruction of ``code``; ``machine`` is an e_machine ("EM_X86_64")."""
    facts = _MACHINES[machine]
    decoder = capstone.Cs(facts.capstone_arch, facts.capstone_mode)
    for _, _, mnemonic, operands in decoder.disasm_lite(code, 0, 1):
        text = f"{mnemonic} {operands}".strip()
        return Instruction(text, _access_of(facts, text))
    return Instruction(f"(not an instruction: {code[:4].hex()})", None)


def _access_of(facts: _Machine, text: str) -> Access | None:
    for pattern, access in facts.accesses:
        if re.fullmatch(pattern, text):
            return access
    return None


class SharedObject:
    """A shared object or program, read once."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            elf = ELFFile(file)
            self.machine: str = elf["e_machine"]
            self._record = struct.Struct("<iiI" if elf.little_endian else ">iiI")
            section = elf.get_section_by_name(SECTION)
            self._table_address: int = section["sh_addr"] if section else 0
            self._table: bytes = section.data() if section else b""
            self._code: list[tuple[int, bytes]] = [
                (segment["p_vaddr"], segment.data())
                for segment in elf.iter_segments("PT_LOAD")
                if segment["p_flags"] & P_FLAGS.PF_X
            ]

    def records(self) -> Iterator[Record]:
        """Yield the records of the table; none where there is no table."""
        for offset in range(0, len(self._table), self._record.size):
            instruction, fixup, info = self._record.unpack_from(self._table, offset)
            place = self._table_address + offset
            yield Record(
                instruction=place + instruction,
                fixup=place + 4 + fixup,  # relative to its own member
                claimed=Access(info & 0xFF, bool(info & STORE)),
            )

    def instruction(self, address: int) -> Instruction:
        """Return the instruction at ``address``; raise ValueError if no code is there."""
        return decode(self.machine, self._bytes(address))

    def _bytes(self, address: int) -> bytes:
        for start, code in self._code:
            if start <= address < start + len(code):
                return code[address - start :][:_LONGEST_INSTRUCTION]
        raise ValueError(f"no code at {address:#x}")
