"""Look at the access instructions of a shared object: the product's own look."""

from __future__ import annotations

from pymmio.check.accessors.disassembly import Access, Instruction, decode
from pymmio.check.accessors.shared_object import Record, SharedObject

__all__ = ["Access", "Instruction", "Record", "SharedObject", "decode"]
