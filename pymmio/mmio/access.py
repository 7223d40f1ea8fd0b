"""Which accesses a region allows, and what a device gets for each of them.

:func:`plan` is pure: it turns one access that a caller asks for into the accesses that
the device sees, or raises.  Everything that touches a region goes by its answer.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pymmio.errors import DeclarationError, Misaligned, OutOfBounds, ValueOutOfRange, WidthRefused

__all__ = ["PCI", "AccessRule", "Order", "Violation", "check_value", "plan"]

WIDTHS = frozenset({1, 2, 4, 8})


class Order(enum.Enum):
    """Which half of a 64-bit access goes first where it must be two of 32 bits."""

    LOW_FIRST = "low-first"
    HIGH_FIRST = "high-first"


class Violation(enum.Enum):
    """What happens to an access that the device must not get as it was asked for."""

    RAISE = "raise"  #: nothing is accessed, an exception says why
    SPLIT = "split"  #: naturally aligned pieces, each as wide as possible, low address first
    BYTES = "bytes"  #: byte by byte, low address first


@dataclass(frozen=True, slots=True)
class AccessRule:
    """The rule of a region, declared once where the region is opened.

    ``widths`` are those that callers may use, ``device_widths`` those that the device
    gets (both in bytes); each access that reaches the device is naturally aligned.
    ``aligned`` asks the same of callers.  ``otherwise`` says what becomes of an access
    that the device does not take as it is: misaligned (where callers may), or of a width
    that it lacks.  ``order64`` allows two 32-bit accesses in that order where the device
    takes no 64-bit ones.  ``read_side_effects`` forbids reads that nobody asked for
    (dumps, flushes).  ``ram_like`` declares plain memory: it may be viewed as bytes.
    """

    widths: frozenset[int] = WIDTHS
    device_widths: frozenset[int] = WIDTHS
    aligned: bool = True
    byteorder: Literal["little", "big"] = "little"
    otherwise: Violation = Violation.RAISE
    order64: Order | None = None
    read_side_effects: bool = False
    ram_like: bool = False

    def __post_init__(self) -> None:
        for name in ("widths", "device_widths"):
            widths = frozenset(getattr(self, name))  # any collection will do
            object.__setattr__(self, name, widths)
            if not widths or not widths <= WIDTHS:
                raise DeclarationError(
                    f"AccessRule.{name} is {sorted(widths)}", hint="Use some of 1, 2, 4, 8 bytes"
                )
        if self.byteorder not in ("little", "big"):
            raise DeclarationError(f"AccessRule.byteorder is {self.byteorder!r}")
        if not self.aligned and self.otherwise is Violation.RAISE:
            raise DeclarationError(
                "AccessRule(aligned=False) allows misaligned accesses but not what becomes of them",
                hint="Add otherwise=Violation.SPLIT or Violation.BYTES",
            )
        if self.otherwise is Violation.BYTES and 1 not in self.device_widths:
            raise DeclarationError("AccessRule(otherwise=BYTES) needs device_widths with 1")
        if self.order64 is not None and 4 not in self.device_widths:
            raise DeclarationError("AccessRule(order64=...) needs device_widths with 4")

    @property
    def direct_widths(self) -> frozenset[int]:
        """The widths that go to the device as they are when aligned."""
        return self.widths & self.device_widths


PCI = AccessRule()
"""The default: little-endian, 1, 2, 4 or 8 bytes, naturally aligned, else an exception."""


def plan(
    rule: AccessRule,
    offset: int,
    width: int,
    size: int,
    *,
    region: str = "region",
    is_write: bool = False,
    order: Order | None = None,
) -> tuple[tuple[int, int], ...]:
    """Return the (offset, width) accesses that the device gets, in their order.

    ``order`` asks for two 32-bit halves of a 64-bit access, whatever the device takes.
    Raises OutOfBounds, WidthRefused or Misaligned, in this order of precedence, and
    touches nothing.
    """
    what = f"{region}: {'write' if is_write else 'read'} of {width} bytes at {offset:#x}"
    place = {"region": region, "offset": offset, "width": width, "is_write": is_write}
    if width not in WIDTHS:
        raise WidthRefused(f"{what}: no such width", hint="Use 1, 2, 4 or 8", **place)  # type: ignore[arg-type]
    if offset < 0 or offset + width > size:
        raise OutOfBounds(
            f"{what} does not lie inside its {size:#x} bytes",
            hint=f"The last {width}-byte access is at {size - width:#x}" if size >= width else None,
            **place,  # type: ignore[arg-type]
        )
    if width not in rule.widths:
        raise WidthRefused(
            f"{what}: the rule allows {_listed(rule.widths)}",
            hint="Use an allowed width or open the region with another AccessRule",
            **place,  # type: ignore[arg-type]
        )
    misaligned = offset % width != 0
    if misaligned and rule.aligned:
        raise Misaligned(
            f"{what}: not a multiple of {width}",
            hint="Use an aligned offset, or AccessRule(aligned=False, otherwise=Violation.SPLIT) "
            "if the device takes pieces",
            **place,  # type: ignore[arg-type]
        )
    if order is not None and width == 8 and offset % 4 == 0 and 4 in rule.device_widths:
        return _halves(offset, order)
    if not misaligned and width in rule.device_widths:
        return ((offset, width),)
    if width == 8 and rule.order64 is not None and offset % 4 == 0:
        return _halves(offset, rule.order64)
    if rule.otherwise is Violation.BYTES:
        return tuple((offset + i, 1) for i in range(width))
    if rule.otherwise is Violation.SPLIT:
        pieces = _aligned_pieces(rule.device_widths, offset, width)
        if pieces is not None:
            return pieces
    raise WidthRefused(
        f"{what}: the device takes {_listed(rule.device_widths)}",
        hint="Say how to split it: AccessRule(order64=...) or otherwise=Violation.SPLIT",
        **place,  # type: ignore[arg-type]
    )


def check_value(value: int, width: int, region: str, offset: int) -> None:
    """Raise ValueOutOfRange unless ``value`` is an unsigned number of ``width`` bytes."""
    if not 0 <= value < 1 << (8 * width):
        raise ValueOutOfRange(
            f"{region}: {value:#x} does not fit a write of {width} bytes at {offset:#x}",
            region=region,
            offset=offset,
            width=width,
            is_write=True,
            value=value,
            hint="Mask the value, or use a wider access",
        )


def _halves(offset: int, order: Order) -> tuple[tuple[int, int], ...]:
    low, high = (offset, 4), (offset + 4, 4)
    return (low, high) if order is Order.LOW_FIRST else (high, low)


@lru_cache(maxsize=1024)
def _aligned_pieces(
    device_widths: frozenset[int], offset: int, width: int
) -> tuple[tuple[int, int], ...] | None:
    pieces, at, end = [], offset, offset + width
    while at < end:
        fitting = [w for w in device_widths if at % w == 0 and at + w <= end]
        if not fitting:
            return None
        pieces.append((at, max(fitting)))
        at += max(fitting)
    return tuple(pieces)


def _listed(widths: frozenset[int]) -> str:
    return ", ".join(str(w) for w in sorted(widths)) + " bytes"
