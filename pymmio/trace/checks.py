"""Checks of what a file says, field by field: TraceFileError without a line where it is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pymmio.errors import TraceFileError

__all__ = [
    "WORD",
    "address",
    "address_of",
    "bad",
    "flag",
    "items",
    "number",
    "numbers",
    "octets",
    "optional",
    "shown",
    "text",
]

WORD = 1 << 64

T = TypeVar("T")

_HEX = re.compile("0x[0-9a-f]{1,16}")


def bad(what: str) -> TraceFileError:
    """Return the error for a field; who knows the line tells it."""
    return TraceFileError(what, line=0)


def number(fields: Mapping[str, Any], name: str, low: int, high: int = WORD - 1) -> int:
    """Return a whole number between the ends."""
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise bad(f"{name!r} is {shown(value)}, and should be a number from {low} to {high}")
    return value


def address(fields: Mapping[str, Any], name: str, limit: int = WORD) -> int:
    """Return a number that is text in hexadecimal, below ``limit``."""
    return address_of(fields.get(name), name, limit)


def address_of(value: object, name: str, limit: int = WORD) -> int:
    """Return the number that a value is."""
    if isinstance(value, str) and _HEX.fullmatch(value):
        found = int(value, 16)
        if found < limit:
            return found
    raise bad(f"{name!r} is {shown(value)}, and should be a number below {limit:#x} as text")


def text(fields: Mapping[str, Any], name: str, longest: int = 4096) -> str:
    """Return text."""
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > longest:
        raise bad(f"{name!r} is {shown(value)}, and should be text")
    return value


def optional(
    read_one: Callable[..., T], fields: Mapping[str, Any], name: str, usual: T, *more: int
) -> T:
    """Return what ``read_one`` makes of a field, ``usual`` where there is none."""
    return read_one(fields, name, *more) if name in fields else usual


def items(fields: Mapping[str, Any], name: str, longest: int = 65536) -> list[Any]:
    """Return a list."""
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > longest:
        raise bad(f"{name!r} is {shown(value)}, and should be a list")
    return value


def shown(value: object) -> str:
    """Return a value for messages, not longer than a line."""
    whole = repr(value)
    return whole if len(whole) < 60 else whole[:57] + "..."


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """Return true or false."""
    value = fields.get(name)
    if not isinstance(value, bool):
        raise bad(f"{name!r} is {shown(value)}, and should be true or false")
    return value


def octets(fields: Mapping[str, Any], name: str, longest: int) -> bytes:
    """Return the bytes that are text in hexadecimal."""
    try:
        return bytes.fromhex(text(fields, name, 2 * longest))
    except ValueError:
        raise bad(f"{name!r} should be hexadecimal digits") from None


def numbers(fields: Mapping[str, Any], name: str) -> dict[str, int]:
    """Return an object of numbers."""
    found = fields.get(name)
    if not isinstance(found, dict) or len(found) > 64:
        raise bad(f"{name!r} is {shown(found)}, and should be an object")
    return {key: number(found, key, 0) for key in found}
