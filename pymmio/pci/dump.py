"""Bytes as text."""

from __future__ import annotations

__all__ = ["hex_dump"]

_LINE = 16


def hex_dump(data: bytes, *, base: int = 0) -> str:
    """Return ``data`` in lines of 16 bytes, each with its offset, as ``lspci -xxx`` prints.

    ``base`` is the offset of the first byte.
    """
    digits = max(2, len(f"{base + max(len(data) - 1, 0):x}"))
    return "\n".join(
        f"{base + at:0{digits}x}: {data[at : at + _LINE].hex(' ')}"
        for at in range(0, len(data), _LINE)
    )
