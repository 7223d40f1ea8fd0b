"""A shared object: its exception table, its functions, its code.

Every accessor has a record in the section ``pm_extable`` (pymmio/arch/extable.h).
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pymmio.check.accessors.disassembly import (
    BEFORE,
    MACHINES,
    Access,
    Instruction,
    decode,
)
from pymmio.check.accessors.tools import load
from pymmio.errors import BadArgument

__all__ = ["Function", "Record", "SharedObject", "core_of_wheel"]

SECTION = "pm_extable"
STORE = 0x100  # PM_EX_STORE
MIO = 0x200  # PM_EX_MIO
BLOCK = 0x400  # PM_EX_BLOCK
_LONGEST_INSTRUCTION = 16


@dataclass(frozen=True, slots=True)
class Record:
    """A record of the exception table: virtual addresses, and what it claims the access is."""

    instruction: int
    fixup: int
    claimed: Access


@dataclass(frozen=True, slots=True)
class Function:
    """A function's code, from its symbol to the symbol's end."""

    name: str
    address: int
    code: bytes


class SharedObject:
    """A shared object or program, read once.

    Raises ToolMissing without pyelftools, BadArgument for a file that is none.
    """

    def __init__(self, source: Path | bytes, name: str = "") -> None:
        elffile = load("elftools.elf.elffile")
        executable = load("elftools.elf.constants").P_FLAGS.PF_X
        data = source if isinstance(source, bytes) else source.read_bytes()
        self.name = name or (source.name if isinstance(source, Path) else "object")
        try:
            elf = elffile.ELFFile(io.BytesIO(data))
        except load("elftools.common.exceptions").ELFError as error:
            raise BadArgument(
                f"{self.name} is no ELF file", hint="Name a shared object or a wheel"
            ) from error
        self.machine: str = elf["e_machine"]
        self._record = struct.Struct("<iiI" if elf.little_endian else ">iiI")
        section = elf.get_section_by_name(SECTION)
        self._table_address: int = section["sh_addr"] if section else 0
        self._table: bytes = section.data() if section else b""
        self._code: list[tuple[int, bytes]] = [
            (segment["p_vaddr"], segment.data())
            for segment in elf.iter_segments("PT_LOAD")
            if segment["p_flags"] & executable
        ]
        self._segments: list[tuple[int, int, int]] = [
            (segment["p_offset"], segment["p_filesz"], segment["p_vaddr"])
            for segment in elf.iter_segments("PT_LOAD")
        ]
        self._functions: dict[str, tuple[int, int]] = {}
        for table in (".symtab", ".dynsym"):
            symbols = elf.get_section_by_name(table)
            for symbol in symbols.iter_symbols() if symbols else ():
                if symbol["st_info"]["type"] in ("STT_FUNC", "STT_GNU_IFUNC") and symbol["st_size"]:
                    place = (symbol["st_value"], symbol["st_size"])
                    self._functions[symbol.name.partition("@")[0]] = place

    @property
    def arch(self) -> str:
        """The architecture as :mod:`pymmio.arch` names it; raise BadArgument for others."""
        if self.machine not in MACHINES:
            raise BadArgument(
                f"{self.name} is for {self.machine}, which is not known here",
                hint=f"Known are {', '.join(facts.arch for facts in MACHINES.values())}",
            )
        return MACHINES[self.machine].arch

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions that have code here."""
        return tuple(self._functions)

    def records(self) -> Iterator[Record]:
        """Yield the records of the table; none where there is no table."""
        for offset in range(0, len(self._table), self._record.size):
            instruction, fixup, info = self._record.unpack_from(self._table, offset)
            place = self._table_address + offset
            yield Record(
                instruction=place + instruction,
                fixup=place + 4 + fixup,  # relative to its own member
                claimed=Access(info & 0xFF, bool(info & STORE), _kind(info)),
            )

    def instruction(self, address: int) -> Instruction:
        """Return the instruction at ``address``; raise ValueError if no code is there."""
        start, code = self._segment(address)
        at = address - start
        before = code[max(at - BEFORE, 0) : at]
        return decode(self.machine, code[at : at + _LONGEST_INSTRUCTION], before)

    def function(self, name: str) -> Function:
        """Return a function by its symbol; raise BadArgument if there is none."""
        if name not in self._functions:
            raise BadArgument(
                f"{self.name} has no function {name!r}",
                hint="nm -D lists those that a shared object exports",
            )
        address, size = self._functions[name]
        start, code = self._segment(address)
        return Function(name, address, code[address - start :][:size])

    def address_of(self, file_offset: int) -> int | None:
        """Return the virtual address of a place in the file, None if it is not loaded."""
        for offset, size, address in self._segments:
            if offset <= file_offset < offset + size:
                return file_offset - offset + address
        return None

    def _segment(self, address: int) -> tuple[int, bytes]:
        for start, code in self._code:
            if start <= address < start + len(code):
                return start, code
        raise ValueError(f"no code at {address:#x}")


def _kind(info: int) -> Literal["plain", "mio", "block"]:
    if info & BLOCK:
        return "block"
    return "mio" if info & MIO else "plain"


def core_of_wheel(wheel: Path) -> SharedObject:
    """Return the core inside a wheel of pymmio; raise BadArgument if there is none."""
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.startswith("pymmio/arch/_core.")]
        names = [n for n in names if n.endswith(".so")]
        if len(names) != 1:
            raise BadArgument(
                f"{wheel.name} holds no core of pymmio", hint="Name a wheel of pymmio"
            )
        return SharedObject(archive.read(names[0]), f"{wheel.name}:{names[0]}")
