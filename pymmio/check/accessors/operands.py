"""What memory an instruction touches, whatever instruction it is.

Wider than :mod:`disassembly`, which only knows accesses that are good: here pairs, vectors and
read-modify-writes are told with their widths.  None where it cannot be told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pymmio.check.accessors.disassembly import decoder
from pymmio.check.accessors.tools import load
from pymmio.check.accessors.verdict import Direction

__all__ = ["Decoded", "Operand", "operands_of"]


@dataclass(frozen=True, slots=True)
class Operand:
    """A memory operand; ``base`` and ``offset`` are None where they are no plain ones."""

    width: int
    directions: tuple[Direction, ...]
    base: str | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """An instruction: ``operands`` is None where the memory that it touches is not known."""

    mnemonic: str
    text: str
    size: int
    operands: tuple[Operand, ...] | None


def operands_of(machine: str, code: bytes) -> Decoded | None:
    """Return the first instruction of ``code`` with its memory operands; None if it is none."""
    if machine == "EM_X86_64":
        for instruction in decoder(machine).disasm(code, 0, 1):
            return Decoded(
                instruction.mnemonic,
                f"{instruction.mnemonic} {instruction.op_str}".strip(),
                instruction.size,
                _x86(instruction),
            )
        return None
    for _, size, mnemonic, arguments in decoder(machine).disasm_lite(code, 0, 1):
        text = f"{mnemonic} {arguments}".strip()
        return Decoded(mnemonic, text, size, _TEXTUAL[machine](mnemonic, arguments))
    return None


_X86_NO_ACCESS = {"lea", "nop", "prefetcht0", "prefetcht1", "prefetcht2", "prefetchnta"}
_X86_UNKNOWN_SIZE = re.compile(r"v?p?(gather|scatter|compress|expand)|v?maskmov|x(save|rstor)|fx")


def _x86(instruction: Any) -> tuple[Operand, ...] | None:
    x86, capstone = load("capstone.x86_const"), load("capstone")
    mnemonic = instruction.mnemonic.split()[-1]
    if mnemonic in _X86_NO_ACCESS:
        return ()
    memory = [op for op in instruction.operands if op.type == x86.X86_OP_MEM]
    if not memory:
        return ()
    if _X86_UNKNOWN_SIZE.match(mnemonic) or "{k" in instruction.op_str:
        return None  # a mask decides which bytes are touched
    found = []
    is_move = mnemonic.startswith(("mov", "vmov"))
    for operand in memory:
        directions: list[Direction] = []
        if is_move:  # the first operand is written, whatever capstone says (5.0: movq is wrong)
            is_first = instruction.operands[0].type == x86.X86_OP_MEM and operand is memory[0]
            directions = ["write" if is_first else "read"]
        else:
            if operand.access & capstone.CS_AC_READ:
                directions.append("read")
            if operand.access & capstone.CS_AC_WRITE:
                directions.append("write")
        if not directions or not operand.size:
            return None
        is_plain = not operand.mem.index and not operand.mem.segment and operand.mem.base
        found.append(
            Operand(
                operand.size,
                tuple(directions),
                instruction.reg_name(operand.mem.base) if is_plain else None,
                operand.mem.disp if is_plain else None,
            )
        )
    return tuple(found)


def _one(width: int, is_store: bool, base: str | None, offset: int | None) -> tuple[Operand, ...]:
    return (Operand(width, ("write",) if is_store else ("read",), base, offset),)


_ARM_WIDTHS = {"w": 4, "x": 8, "b": 1, "h": 2, "s": 4, "d": 8, "q": 16}
_ARM_PLACE = re.compile(r"\[(\w+)(?:, #(-?(?:0x)?[0-9a-f]+))?\]")
_ARM_ONE = re.compile(r"(ld|st)u?(?:ar|apr|lr|tr|r|ur|xr|axr|lxr)(b|h|sb|sh|sw)?")


def _arm(mnemonic: str, arguments: str) -> tuple[Operand, ...] | None:
    if "[" not in arguments:
        return () if not mnemonic.startswith(("ld", "st")) else None
    place = _ARM_PLACE.search(arguments)
    is_plain = place is not None and arguments.endswith("]")
    base = place[1] if is_plain and place else None
    offset = int(place[2] or "0", 0) if is_plain and place else None
    if mnemonic in ("ldp", "stp", "ldnp", "stnp", "ldpsw"):
        width = 4 if mnemonic == "ldpsw" else _ARM_WIDTHS[arguments[0]]
        second = None if offset is None else offset + width
        is_store = mnemonic.startswith("st")
        return _one(width, is_store, base, offset) + _one(width, is_store, base, second)
    found = _ARM_ONE.fullmatch(mnemonic)
    if not found:
        return None
    suffix = found[2] or ""
    width = {"b": 1, "h": 2, "w": 4}.get(suffix[-1:]) or _ARM_WIDTHS[arguments[0]]
    return _one(width, found[1] == "st", base, offset)


_PLACE = re.compile(r"(-?(?:0x)?[0-9a-f]+)\(%?(\w+)\)$")


def _displaced(
    widths: dict[str, int], stores: set[str]
) -> Callable[[str, str], tuple[Operand, ...] | None]:
    """Return a decoder for ``mnemonic register, displacement(base)``."""

    def decode(mnemonic: str, arguments: str) -> tuple[Operand, ...] | None:
        if mnemonic not in widths:
            return None if "(" in arguments else ()
        place = _PLACE.search(arguments)
        return _one(
            widths[mnemonic],
            mnemonic in stores,
            place[2] if place else None,
            int(place[1], 0) if place else None,
        )

    return decode


_RISCV_LOADS = {"lb": 1, "lbu": 1, "lh": 2, "lhu": 2, "lw": 4, "lwu": 4, "ld": 8}
_RISCV_LOADS |= {"c.lw": 4, "c.ld": 8, "flw": 4, "fld": 8, "c.fld": 8, "c.lwsp": 4, "c.ldsp": 8}
_RISCV_STORES = {"sb": 1, "sh": 2, "sw": 4, "sd": 8, "c.sw": 4, "c.sd": 8, "fsw": 4, "fsd": 8}
_RISCV_STORES |= {"c.fsd": 8, "c.swsp": 4, "c.sdsp": 8}
_PPC_WIDTHS = {"b": 1, "h": 2, "w": 4, "d": 8}
_PPC_LOADS = {"lbz": 1, "lhz": 2, "lha": 2, "lwz": 4, "lwa": 4, "ld": 8, "lfd": 8, "lfs": 4}
_PPC_STORES = {"stb": 1, "sth": 2, "stw": 4, "std": 8, "stfd": 8, "stfs": 4}
_S390_LOADS = {"llgc": 1, "llc": 1, "llgh": 2, "llh": 2, "lh": 2, "lhy": 2, "lgh": 2, "lrvh": 2}
_S390_LOADS |= {"ic": 1, "icy": 1, "lb": 1, "lgb": 1}
_S390_LOADS |= {"l": 4, "ly": 4, "llgf": 4, "lgf": 4, "lrv": 4, "lg": 8, "lrvg": 8}
_S390_STORES = {"stc": 1, "stcy": 1, "sth": 2, "sthy": 2, "strvh": 2, "st": 4, "sty": 4}
_S390_STORES |= {"strv": 4, "stg": 8, "strvg": 8}

_ppc_displaced = _displaced(_PPC_LOADS | _PPC_STORES, set(_PPC_STORES))
_PPC_INDEXED = re.compile(r"(l|st)(b|h|w|d)(?:z|a|br)?x")


def _ppc(mnemonic: str, arguments: str) -> tuple[Operand, ...] | None:
    if indexed := _PPC_INDEXED.fullmatch(mnemonic):
        _, first, second = arguments.split(", ")
        is_plain = first == "0"
        return _one(
            _PPC_WIDTHS[indexed[2]],
            indexed[1] == "st",
            second if is_plain else None,
            0 if is_plain else None,
        )
    if mnemonic.startswith(("lx", "stx", "lv", "stv", "lm", "stm", "ls", "stsw", "dcb")):
        return None
    return _ppc_displaced(mnemonic, arguments)


_TEXTUAL: dict[str, Callable[[str, str], tuple[Operand, ...] | None]] = {
    "EM_AARCH64": _arm,
    "EM_RISCV": _displaced(_RISCV_LOADS | _RISCV_STORES, set(_RISCV_STORES)),
    "EM_PPC64": _ppc,
    "EM_S390": _displaced(_S390_LOADS | _S390_STORES, set(_S390_STORES)),
}
