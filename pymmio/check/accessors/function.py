"""The accesses of a simple function through its pointer argument, read from its code.

Only straight lines are provable: from the symbol to the return without a branch or a call, and
every memory operand either through the pointer (or a register that holds it, moved by a
constant) or on the stack.  Whatever else stands there makes it unproven.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pymmio.check.accessors.operands import Decoded, Operand, operands_of
from pymmio.check.accessors.shared_object import Function
from pymmio.check.accessors.verdict import Direction, Judgement, Touch, Verdict, judge

__all__ = ["NotProvable", "judge_function", "touches_of"]


class NotProvable(Exception):
    """The function is not simple enough; the message says where."""


@dataclass(frozen=True, slots=True)
class _Convention:
    """Where the first argument is, and how instructions are read."""

    pointer: str
    stack: frozenset[str]
    returns: re.Pattern[str]
    moves: re.Pattern[str]  # groups: to, from
    adds: re.Pattern[str]  # groups: to, from (may be missing), constant
    harmless: re.Pattern[str]  # work on registers only; the first operand is written
    barriers: re.Pattern[str]  # touch no register that counts


_NUMBER = r"(-?(?:0x)?[0-9a-f]+)"

# System V ABI, AMD64: rdi.  Arm AAPCS64: x0.  RISC-V psABI: a0.  OpenPOWER ELFv2: r3.
# ELF for z/Architecture: r2.
_CONVENTIONS = {
    "EM_X86_64": _Convention(
        "rdi",
        frozenset({"rsp"}),
        re.compile(r"(?:bnd )?ret"),
        re.compile(r"mov (r\w+), (r\w+)"),
        re.compile(rf"(?:add (r\w+), ()|lea (r\w+), \[(r\w+) \+ ){_NUMBER}\]?"),
        re.compile(
            r"(?:push|pop|mov(?:zx|sxd?|abs|d|q)?|add|sub|x?or|and|shl|shr|sar|rol|ror|bswap|lea|not|neg|"
            r"c[bwd][wdq]e?|v?mov(?:d|q|[au]p[sd]|dq[au]\d*)|v?pxor|movbe)\b.*"
        ),
        re.compile(r"endbr64|nop.*|[lsm]fence|(?:cmp|test) .*|pause"),
    ),
    "EM_AARCH64": _Convention(
        "x0",
        frozenset({"sp"}),
        re.compile(r"ret"),
        re.compile(r"mov (x\d+), (x\d+)"),
        re.compile(rf"(?:add (x\d+), (x\d+), #){_NUMBER}"),
        re.compile(
            r"(?:mov[kznw]?|add|sub|orr|and|eor|bfi|bfxil|lsl|lsr|asr|ubfx|ubfiz|sbfx|uxt[bhw]|"
            r"sxt[bhw]|rev(?:16|32)?|mvn|neg|ldr\w*|ldp|ldur\w*)\b.*"
        ),
        re.compile(r"nop|bti.*|hint.*|paciasp|autiasp|d[ms]b .*|isb|(?:cmp|tst) .*|st\w+ .*"),
    ),
    "EM_RISCV": _Convention(
        "a0",
        frozenset({"sp"}),
        re.compile(r"ret|c\.jr ra|jr ra"),
        re.compile(r"(?:c\.)?mv (\w+), (\w+)"),
        re.compile(rf"(?:(?:c\.)?addi (\w+), (?:(\w+), )?){_NUMBER}"),
        re.compile(
            r"(?:c\.)?(?:mv|li|lui|addi?w?|subw?|ori?|xori?|andi?|slliw?|srliw?|sraiw?|sllw?|"
            r"not|neg|zext\.\w|sext\.\w|l[bhwd]u?|ldsp|lwsp)\b.*"
        ),
        re.compile(r"(?:c\.)?nop|fence.*|(?:c\.)?s[bhwd](?:sp)? .*"),
    ),
    "EM_PPC64": _Convention(
        "r3",
        frozenset({"r1"}),
        re.compile(r"blr"),
        re.compile(r"mr (r?\d+), (r?\d+)"),
        re.compile(rf"(?:addi (r?\d+), (r?\d+), ){_NUMBER}"),
        re.compile(
            r"(?:mr|li|lis|addis?|add|subf?|ori?s?|xori?s?|andi?s?\.?|rl\w+|clrl\w+|sl[wd]i?|sr[wd]i?|"
            r"ext\w+|rot\w+|insr\w+|l[bhwd][za]?(?:br)?x?)\b.*"
        ),
        re.compile(r"nop|(?:lw|hw)?sync.*|eieio|isync|st\w+ .*|cmp\w* .*"),
    ),
    "EM_S390": _Convention(
        "r2",
        frozenset({"r15"}),
        re.compile(r"br %r14"),
        re.compile(r"lgr %(r\d+), %(r\d+)"),
        re.compile(rf"(?:aghi %(r\d+), ()|la %(r\d+), ){_NUMBER}(?:\(%(r\d+)\))?"),
        re.compile(
            r"(?:l[glr]\w*|l|ly|lh\w*|ic\w*|lhi|lghi|la|lay|s[lr][la]\w*|risbg\w*|rosbg\w*|rll\w*|"
            r"[on]gr|[on]r\w*|xg?r|ogrk|ag?r|aghi)\b.*"
        ),
        re.compile(r"nopr?.*|bcr? .*, ?(?:%r)?0|st\w* .*|c\w* .*"),
    ),
}


def touches_of(machine: str, function: Function) -> list[Touch]:
    """Return the accesses relative to the pointer argument, in order; raise NotProvable."""
    convention = _CONVENTIONS[machine]
    holders = {convention.pointer: 0}  # registers that hold the pointer, and how far moved
    found: list[Touch] = []
    at = 0
    while at < len(function.code):
        decoded = operands_of(machine, function.code[at : at + 16])
        if decoded is None:
            raise NotProvable(f"no instruction at {function.name}+{at:#x}")
        if convention.returns.fullmatch(decoded.text):
            return found
        where = f"{decoded.text} at {function.name}+{at:#x}"
        if decoded.operands is None:
            raise NotProvable(f"{where}: which memory it touches is not known")
        for operand in decoded.operands:
            found.extend(_touch(operand, holders, convention.stack, where))
        _follow(decoded, holders, convention, where)
        at += decoded.size
    raise NotProvable(f"{function.name} goes on behind its symbol's end")


def judge_function(machine: str, function: Function, width: int, direction: Direction) -> Judgement:
    """Judge a function whose first argument points at the place of ``width`` bytes."""
    try:
        touches = touches_of(machine, function)
    except NotProvable as reason:
        return Judgement(Verdict.UNPROVEN, str(reason))
    judgement = judge(touches, 0, width, direction)
    if judgement.verdict is Verdict.EXACT:
        return Judgement(Verdict.EXACT, "one access in a straight line")
    return judgement


def _touch(
    operand: Operand, holders: dict[str, int], stack: frozenset[str], where: str
) -> list[Touch]:
    if operand.base is None or operand.offset is None:
        raise NotProvable(f"{where}: not a plain base and offset")
    if operand.base in stack or operand.base == "rip":
        return []
    if operand.base not in holders:
        raise NotProvable(f"{where}: through a register that is not the argument")
    place = holders[operand.base] + operand.offset
    return [Touch(place, operand.width, direction) for direction in operand.directions]


def _follow(decoded: Decoded, holders: dict[str, int], convention: _Convention, where: str) -> None:
    """Note which registers hold the pointer behind this instruction."""
    text = decoded.text
    if move := convention.moves.fullmatch(text):
        to, source = move.groups()
        holders.pop(to, None)
        if source in holders:
            holders[to] = holders[source]
        return
    if add := convention.adds.fullmatch(text):
        *registers, number = (group for group in add.groups() if group)
        if number.startswith("r"):  # s390x: la %r1, 8(%r2)
            registers, number = [registers[0], number], registers[1]
        to, source = registers[0], registers[-1]
        moved = holders.get(source)
        holders.pop(to, None)
        if moved is not None:
            holders[to] = moved + int(number, 0)
        return
    if convention.barriers.fullmatch(text):
        return
    if not convention.harmless.fullmatch(text):
        raise NotProvable(f"{where}: a branch, a call, or not known to be simple")
    for written in _written(text):
        holders.pop(written, None)


_SUB_REGISTERS = re.compile(r"(?:e|r)?([abcd])[xlh]$|(?:e|r)?([sd]i|[sb]p)l?$")


def _written(text: str) -> set[str]:
    """Return the registers that the first operand may name, as 64-bit ones."""
    first = text.partition(" ")[2].split(",")[0].strip().lstrip("%")
    names = {first}
    if found := _SUB_REGISTERS.match(first):
        names.add(f"r{found[1]}x" if found[1] else f"r{found[2]}")
    if re.fullmatch(r"r\d+[bwd]", first):
        names.add(first[:-1])
    if re.fullmatch(r"w\d+", first):
        names.add(f"x{first[1:]}")
    if text.startswith("ldp"):
        names |= {name.strip() for name in text.partition(" ")[2].split(",")[:2]}
    return names
