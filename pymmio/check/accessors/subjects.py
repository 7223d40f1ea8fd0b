"""Ready subjects: ways in which Python programs read and write device memory.

A subject makes, for memory and a width, two functions: ``read(offset)`` and ``write(offset,
value)``.  What they need besides (temporary objects, imports) is made before, so that a recording
holds the access and nothing else.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymmio.check.accessors.verdict import Direction
from pymmio.errors import BadArgument, Unsupported
from pymmio.mmio import AccessRule, MappedRegion, Mapping

if TYPE_CHECKING:
    from pymmio.check.accessors.place import Place

__all__ = [
    "PYMMIO",
    "PYMMIO_BLOCK",
    "SUBJECTS",
    "WIDTHS",
    "Functions",
    "Subject",
    "from_callable",
    "from_symbol",
    "subject_named",
]

WIDTHS = (1, 2, 4, 8)
PYMMIO = "pymmio"
PYMMIO_BLOCK = "pymmio block"
_UNSIGNED = {1: "B", 2: "H", 4: "I", 8: "Q"}
_SIZES = {1: 8, 2: 16, 4: 32, 8: 64}


@dataclass(frozen=True, slots=True)
class Functions:
    """What is recorded; None where the subject cannot do it."""

    read: Callable[[int], Any] | None = None
    write: Callable[[int, int], Any] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """A way to access memory: ``name``, what the report says of it, how it is made."""

    name: str
    doc: str
    make: Callable[[Place, int], Functions]
    widths: tuple[int, ...] = WIDTHS
    is_control: bool = False
    """Whether its verdict is known beforehand: it shows that the check sees something."""
    symbol: str = ""
    """Prefix of the functions in the recorder's library, for the static look."""
    directions: tuple[Direction, ...] = ("read", "write")
    crosses_line: bool = False
    """Whether it is used where it crosses a cache line: one instruction, and torn."""
    is_torn: bool = False
    """Whether a concurrent thread sees it torn, given time: what others are measured by."""


def _pymmio(place: Place, width: int) -> Functions:
    rule = AccessRule(byteorder=sys.byteorder)
    region = MappedRegion(Mapping.of_buffer(place.buffer, "checked memory"), rule=rule)
    bits = _SIZES[width]
    read = getattr(region, f"read{bits}")
    write = getattr(region, f"write{bits}")
    return Functions(read, write)


def _pymmio_block(place: Place, width: int) -> Functions:
    rule = AccessRule(byteorder=sys.byteorder)
    region = MappedRegion(Mapping.of_buffer(place.buffer, "checked memory"), rule=rule)

    def write(offset: int, value: int) -> None:
        region.write_block(offset, value.to_bytes(width, sys.byteorder), width=width)

    return Functions(lambda offset: region.read_block(offset, width, width=width), write)


def _ctypes_value(place: Place, width: int) -> Functions:
    kind: Any = getattr(ctypes, f"c_uint{_SIZES[width]}")

    def write(offset: int, value: int) -> None:
        kind.from_buffer(place.buffer, offset).value = value

    return Functions(lambda offset: kind.from_buffer(place.buffer, offset).value, write)


def _ctypes_array(place: Place, width: int) -> Functions:
    kind: Any = getattr(ctypes, f"c_uint{_SIZES[width]}")
    array = (kind * (place.size // width)).from_buffer(place.buffer)

    def write(offset: int, value: int) -> None:
        array[offset // width] = value

    return Functions(lambda offset: array[offset // width], write)


def _ctypes_memmove(place: Place, width: int) -> Functions:
    to = ctypes.create_string_buffer(64)

    def read(offset: int) -> bytes:
        ctypes.memmove(to, place.address + offset, width)
        return to.raw[:width]

    def write(offset: int, value: int) -> None:
        ctypes.memmove(place.address + offset, value.to_bytes(width, sys.byteorder), width)

    return Functions(read, write)


def _numpy(place: Place, width: int) -> Functions:
    try:
        numpy: Any = importlib.import_module("numpy")
    except ImportError as error:
        raise Unsupported("numpy is not installed", hint="pip install numpy") from error
    array = numpy.frombuffer(place.buffer, dtype=f"u{width}")

    def write(offset: int, value: int) -> None:
        array[offset // width] = value

    return Functions(lambda offset: array[offset // width], write)


def _struct(place: Place, width: int) -> Functions:
    layout = struct.Struct(f"={_UNSIGNED[width]}")

    def write(offset: int, value: int) -> None:
        layout.pack_into(place.buffer, offset, value)

    return Functions(lambda offset: layout.unpack_from(place.buffer, offset)[0], write)


def _struct_native(place: Place, width: int) -> Functions:
    layout = struct.Struct(f"@{_UNSIGNED[width]}")

    def write(offset: int, value: int) -> None:
        layout.pack_into(place.buffer, offset, value)

    return Functions(lambda offset: layout.unpack_from(place.buffer, offset)[0], write)


def _memoryview(place: Place, width: int) -> Functions:
    bytes_: Any = memoryview(place.buffer).cast("B")
    view = bytes_.cast(_UNSIGNED[width])

    def write(offset: int, value: int) -> None:
        view[offset // width] = value

    return Functions(lambda offset: view[offset // width], write)


def _mmap_slice(place: Place, width: int) -> Functions:
    mapped = place.buffer

    def write(offset: int, value: int) -> None:
        mapped[offset : offset + width] = value.to_bytes(width, sys.byteorder)

    return Functions(lambda offset: mapped[offset : offset + width], write)


def _periphery(place: Place, width: int) -> Functions:
    try:
        periphery: Any = importlib.import_module("periphery")
    except ImportError as error:
        raise Unsupported(
            "python-periphery is not installed", hint="pip install python-periphery"
        ) from error
    device = periphery.MMIO(0, place.size, path=f"/proc/self/fd/{place.fd}")
    place.watch(device.mapping, device)
    return Functions(
        getattr(device, f"read{_SIZES[width]}"), getattr(device, f"write{_SIZES[width]}")
    )


def _library(prefix: str) -> Callable[[Place, int], Functions]:
    def make(place: Place, width: int) -> Functions:
        from pymmio.check.accessors._recorder import ffi, lib

        read_c = getattr(lib, f"pm_{prefix}_read{_SIZES[width]}", None)
        write_c = getattr(lib, f"pm_{prefix}_write{_SIZES[width]}", None)
        start = ffi.cast("uint8_t *", place.address)
        return Functions(
            (lambda offset: read_c(start + offset)) if read_c else None,
            (lambda offset, value: write_c(start + offset, value)) if write_c else None,
        )

    return make


def _libc_memcpy(place: Place, width: int) -> Functions:
    from pymmio.check.accessors._recorder import ffi, lib

    kept = ffi.new("uint8_t[64]")
    start = ffi.cast("uint8_t *", place.address)

    def read(offset: int) -> bytes:
        lib.pm_libc_memcpy(kept, start + offset, width)
        return bytes(ffi.buffer(kept, width))

    def write(offset: int, value: int) -> None:
        lib.pm_libc_memcpy(start + offset, value.to_bytes(width, sys.byteorder), width)

    return Functions(read, write)


# fmt: off
SUBJECTS = (
    Subject(PYMMIO, "Region.read8 ... write64", _pymmio),
    Subject(PYMMIO_BLOCK, "Region.read_block, write_block of one piece", _pymmio_block),
    Subject("ctypes value", "c_uint32.from_buffer(m, o).value", _ctypes_value),
    Subject("ctypes array", "(c_uint32 * n).from_buffer(m)[i]", _ctypes_array),
    Subject("ctypes memmove", "memmove(bytes, address, n)", _ctypes_memmove),
    Subject("numpy", 'frombuffer(m, "u4")[i]', _numpy),
    Subject("struct =", 'Struct("=I").unpack_from(m, o)', _struct),
    Subject("struct @", 'Struct("@I").unpack_from(m, o)', _struct_native),
    Subject("memoryview", 'memoryview(m).cast("I")[i]', _memoryview),
    Subject("mmap slice", "m[o:o + 4]", _mmap_slice),
    Subject("python-periphery", "MMIO.read32, write32", _periphery, (1, 2, 4)),
    Subject("__builtin_memcpy", "of a constant size, by C", _library("builtin"), symbol="builtin"),
    Subject("glibc memcpy", "of a size that C does not know", _libc_memcpy, (*range(1, 9), 16)),
    Subject("byte by byte", "known: split", _library("bytewise"), (2, 4, 8), True, "bytewise"),
    Subject("twice", "known: repeated", _library("doubled"), WIDTHS, True, "doubled"),
    Subject(
        "across a cache line", "known: torn", _library("plain"), (2, 4, 8), True, "plain",
        directions=("read",), crosses_line=True, is_torn=True,
    ),
    Subject(
        "in two halves", "known: split and torn", _library("halves"), (2, 4, 8), True, "halves",
        directions=("write",), is_torn=True,
    ),
)
# fmt: on


def subject_named(name: str) -> Subject:
    """Return a ready subject; raise BadArgument for other names."""
    for subject in SUBJECTS:
        if subject.name == name:
            return subject
    known = ", ".join(subject.name for subject in SUBJECTS)
    raise BadArgument(f"there is no subject {name!r}", hint=f"There are {known}")


def from_callable(target: str, *, is_write: bool) -> Subject:
    """Return a subject of ``module:function``, called with (memoryview, offset, width[, value]).

    Raises BadArgument where there is no such function.
    """
    module_name, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadArgument(
            f"{target}: {error}", hint="Name it module:function, importable from here"
        ) from error
    if not callable(found):
        raise BadArgument(f"{target} is no function", hint="Name it module:function")
    function = found

    def make(place: Place, width: int) -> Functions:
        view = memoryview(place.buffer).cast("B")
        if is_write:
            return Functions(write=lambda offset, value: function(view, offset, width, value))
        return Functions(read=lambda offset: function(view, offset, width))

    return Subject(
        target, "a function of Python", make, directions=("write",) if is_write else ("read",)
    )


def from_symbol(path: str, symbol: str, *, is_write: bool) -> Subject:
    """Return a subject of a C function: ``uintN_t f(const void *)`` or ``void f(void *, uintN_t)``.

    Making it loads the library and calling it runs its code.
    """

    def make(place: Place, width: int) -> Functions:
        kind: Any = getattr(ctypes, f"c_uint{_SIZES[width]}")
        try:
            function = getattr(ctypes.CDLL(path), symbol)
        except (OSError, AttributeError) as error:
            raise Unsupported(f"{symbol} cannot be called: {error}") from error
        if is_write:
            function.argtypes, function.restype = [ctypes.c_void_p, kind], None
            return Functions(write=lambda offset, value: function(place.address + offset, value))
        function.argtypes, function.restype = [ctypes.c_void_p], kind
        return Functions(read=lambda offset: function(place.address + offset))

    return Subject(
        symbol, os.path.basename(path), make, directions=("write",) if is_write else ("read",)
    )
