"""The options of a ``vfio-user:`` URI."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from pymmio.errors import UriError
from pymmio.uri import DeviceUri

__all__ = ["Options"]

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SWITCH = {"on": True, "yes": True, "1": True, "off": False, "no": False, "0": False}
_MAX_TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to talk to a server.

    ``timeout_s`` is the deadline of each request.  ``twin`` offers the second socket for the
    device's requests, ``ioeventfd`` takes descriptors for writes where the server has some.
    ``dma_unit`` is the size that DMA mappings are multiples of, 0: what the server says.
    """

    timeout_s: float = 5.0
    twin: bool = True
    ioeventfd: bool = True
    dma_unit: int = 0

    @classmethod
    def parse(cls, uri: DeviceUri) -> Self:
        """Read them.  Raises UriError for what is not known or makes no sense."""
        unknown = [name for name in uri.options if name not in _PARSERS]
        if unknown:
            raise UriError(
                f"vfio-user: has no option {', '.join(map(repr, unknown))}",
                hint=f"It has: {', '.join(_PARSERS)}",
            )
        return cls(
            **{
                _NAMES.get(name, name): _PARSERS[name](name, value)  # type: ignore[arg-type]
                for name, value in uri.options.items()
            }
        )


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _MAX_TIMEOUT_S:
        raise UriError(
            f"option {name}={text!r} is no number of seconds",
            hint=f"Write one above 0, up to {_MAX_TIMEOUT_S:g}, such as {name}=5",
        )
    return seconds


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise UriError(f"option {name}={text!r} is neither on nor off", hint=f"Write {name}=off")
    return _SWITCH[text.lower()]


def _size(name: str, text: str) -> int:
    unit = _UNITS.get(text[-1:].upper(), 1)
    digits = text[:-1] if unit > 1 else text
    size = int(digits) * unit if digits.isascii() and digits.isdigit() else 0
    if not size or size & (size - 1):
        raise UriError(
            f"option {name}={text!r} is no power of two", hint=f"Write such as {name}=2M"
        )
    return size


_PARSERS: dict[str, Callable[[str, str], float | bool | int]] = {
    "timeout": _seconds,
    "twin": _switch,
    "ioeventfd": _switch,
    "dma_unit": _size,
}
_NAMES = {"timeout": "timeout_s"}
