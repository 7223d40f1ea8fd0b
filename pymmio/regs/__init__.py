"""Registers and in-memory structures, declared once: access, fields, dumps."""

from pymmio.regs.bound import BoundRegister
from pymmio.regs.changes import FieldChange, RegisterChange, changes
from pymmio.regs.compound import ArrayOf, Nested
from pymmio.regs.dump import DumpedField, DumpedRegister, RegisterDump
from pymmio.regs.dump_layout import DumpedMember, LayoutDump
from pymmio.regs.field import RESERVED, RO, RW, W1C, W1S, WO, AccessKind, Field
from pymmio.regs.file import BoundRegArray, Place, Reg, RegArray, RegisterFile
from pymmio.regs.layout import Layout, LayoutSpec
from pymmio.regs.members import U8, U16, U32, U64, U128, Ascii, Bits, Bytes, Member, UInt, UIntType
from pymmio.regs.register import Register
from pymmio.regs.space import RegisterSpace
from pymmio.regs.spec import RegisterSpec

__all__ = [
    "RESERVED",
    "RO",
    "RW",
    "U8",
    "U16",
    "U32",
    "U64",
    "U128",
    "W1C",
    "W1S",
    "WO",
    "AccessKind",
    "ArrayOf",
    "Ascii",
    "Bits",
    "BoundRegArray",
    "BoundRegister",
    "Bytes",
    "DumpedField",
    "DumpedMember",
    "DumpedRegister",
    "Field",
    "FieldChange",
    "Layout",
    "LayoutDump",
    "LayoutSpec",
    "Member",
    "Nested",
    "Place",
    "Reg",
    "RegArray",
    "Register",
    "RegisterChange",
    "RegisterDump",
    "RegisterFile",
    "RegisterSpace",
    "RegisterSpec",
    "UInt",
    "UIntType",
    "changes",
]
