"""Find what works on x86 by luck in the source of a driver, without running it.

What is found is a place to look at, not a proof of a fault; what is not found may still be there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Finding", "scan"]

_STRUCT = frozenset(
    {"Struct", "calcsize", "iter_unpack", "pack", "pack_into", "unpack", "unpack_from"}
)
_SEVERAL_BYTES = frozenset("hHiIlLqQnNPefd")
_PLAIN = {
    "mmap": "a plain mapping: on s390x loads and stores do not reach PCI memory",
    "from_buffer": "ctypes on a buffer: reads before it writes, copies with memcpy",
    "frombuffer": "numpy on a buffer: no promise of width or number of accesses",
    "memmove": "a copy of bytes: registers are read and written more than once",
    "string_at": "a copy of bytes: registers are read and written more than once",
}
_NATIVE = "has the byte order of the machine"


@dataclass(frozen=True, slots=True)
class Finding:
    """A place in a source, what is there, and what to use instead."""

    line: int
    what: str
    instead: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.what}; {self.instead}"


def scan(source: str, name: str = "source") -> list[Finding]:
    """Return what ties ``source`` (a Python module) to a little-endian machine like x86.

    Native struct formats and casts, ctypes structures, plain mappings and copies of device memory,
    fixed device addresses.  Raises SyntaxError where the source is none.
    """
    found = {finding for node in ast.walk(ast.parse(source, name)) for finding in _look_at(node)}
    return sorted(found, key=lambda finding: (finding.line, finding.what))


def _look_at(node: ast.AST) -> Iterator[Finding]:
    match node:
        case ast.Call():
            yield from _call(node)
        case ast.ClassDef():
            for base in node.bases:
                if _last_name(base) in ("Structure", "Union"):
                    yield Finding(
                        node.lineno,
                        f"class {node.name} is a ctypes structure, which {_NATIVE}",
                        "use pymmio.regs.Layout",
                    )
        case ast.Attribute(attr="byteorder", value=ast.Name(id="sys")):
            yield Finding(
                node.lineno, f"sys.byteorder {_NATIVE}", 'say "little" or "big" as the device does'
            )
        case ast.Assign(targets=targets, value=ast.Constant(value=int())):
            if any(_last_name(target).lower().endswith("iova") for target in targets):
                yield _fixed(node.lineno)


def _call(node: ast.Call) -> Iterator[Finding]:
    name = _last_name(node.func)
    text = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    if isinstance(text, str) and _SEVERAL_BYTES & set(text):
        if name in _STRUCT and text[0] not in "<>!":
            yield Finding(
                node.lineno, f"struct format {text!r} {_NATIVE}", 'start it with "<" or ">"'
            )
        elif name == "cast" and len(text) == 1 and isinstance(node.func, ast.Attribute):
            yield Finding(
                node.lineno, f"a memoryview cast to {text!r} {_NATIVE}", "use pymmio.regs.Layout"
            )
    if name in _PLAIN and isinstance(node.func, ast.Attribute) and not _is_cffi(node.func):
        yield Finding(
            node.lineno, f"{name}() is {_PLAIN[name]}", "use Region.read32() and the like"
        )
    for keyword in node.keywords:
        if keyword.arg == "iova" and isinstance(keyword.value, ast.Constant):
            yield _fixed(node.lineno)


def _is_cffi(function: ast.Attribute) -> bool:
    """Whether it is a method of a cffi object: an address for an engine in C, no access."""
    return _last_name(function.value) == "ffi"


def _fixed(line: int) -> Finding:
    return Finding(
        line,
        "a fixed device address: the IOMMU may not take it",
        "let DmaSpace.alloc() choose and use the iova of the buffer",
    )


def _last_name(node: ast.AST) -> str:
    name = getattr(node, "attr", None) or getattr(node, "id", "")
    return str(name)
