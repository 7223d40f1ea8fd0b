"""Options of models: the query part of a device URI, as text or as Python values."""

from __future__ import annotations

from collections.abc import Collection

from pymmio.errors import UriError

__all__ = ["as_bool", "as_int", "as_size", "refuse_unknown"]

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def as_int(name: str, value: str | int, *, low: int = 0, high: int = (1 << 64) - 1) -> int:
    """Return the whole number ``value`` (decimal, or 0x…); raise UriError outside low…high."""
    try:
        number = value if isinstance(value, int) else int(value, 0)
    except ValueError:
        raise UriError(
            f"option {name}={value!r} is not a whole number",
            hint=f"Write a number from {low} to {high}, decimal or 0x…",
        ) from None
    if not low <= number <= high:
        raise UriError(
            f"option {name}={value} is out of range", hint=f"Choose from {low} to {high}"
        )
    return number


def as_size(name: str, value: str | int) -> int:
    """Return a size in bytes; text may end in K, M, G or T (powers of 1024), also KiB or KB."""
    if isinstance(value, int):
        return as_int(name, value, low=1)
    text = value.strip().upper()
    for ending in ("IB", "B"):
        if len(text) > len(ending) and text.endswith(ending) and text[-len(ending) - 1] in _UNITS:
            text = text[: -len(ending)]
            break
    unit = _UNITS.get(text[-1:], 1)
    digits = text[:-1] if unit > 1 else text
    if not digits.isascii() or not digits.isdigit() or int(digits) == 0:
        raise UriError(
            f"option {name}={value!r} is not a size",
            hint="Write bytes, or a number with K, M, G or T such as 64M",
        )
    return int(digits) * unit


def as_bool(name: str, value: str | bool | int) -> bool:
    """Return a switch: 1/0, on/off, yes/no, true/false."""
    if isinstance(value, (bool, int)):
        return bool(value)
    text = value.strip().lower()
    if text in {"1", "on", "yes", "true", ""}:
        return True
    if text in {"0", "off", "no", "false"}:
        return False
    raise UriError(f"option {name}={value!r} is neither on nor off", hint=f"Write {name}=on or off")


def refuse_unknown(model: str, given: Collection[str], known: Collection[str]) -> None:
    """Raise UriError if ``given`` holds an option that the model does not have."""
    for name in given:
        if name not in known:
            raise UriError(
                f"model {model} has no option {name!r}",
                hint=f"It has: {', '.join(sorted(known))}",
            )
