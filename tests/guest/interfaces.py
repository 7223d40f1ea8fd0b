"""Run a case by each interface of VFIO, behind each kind of IOMMU.

Imported on both sides, so it imports nothing that is slow to load in an emulated machine.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

from tests.guest.case import ATTRIBUTE, Function, options_of

INTERFACES = ("group", "cdev")
IOMMUS = ("default", "virtio-iommu")  # guests with the same devices

_current = "auto"


def interface() -> str:
    """Return the interface that the running case goes by."""
    return _current


def uri_of(address: str, **options: str) -> str:
    """Return the URI of a function by the interface of the running case."""
    query = "&".join(f"{k}={v}" for k, v in ({"interface": _current} | options).items())
    return f"vfio:{address}?{query}"


def by_interface(
    *interfaces: str, guests: tuple[str, ...] = IOMMUS
) -> Callable[[Function], Function]:
    """Let a case run by ``interfaces`` (default: all) in each of ``guests``.

    Stands above ``@case``; params of the case come behind the interface: ``cdev-msix``.
    """

    def decorate(function: Function) -> Function:
        options = options_of(function)

        @functools.wraps(function)
        def run(param: str) -> None:
            global _current
            _current, _, rest = param.partition("-")
            function(*([rest] if options.params else []))

        params = tuple(
            f"{one}-{param}" if param else one
            for one in interfaces or INTERFACES
            for param in options.params or ("",)
        )
        setattr(run, ATTRIBUTE, replace(options, guests=guests, params=params))
        return run  # type: ignore[return-value]

    return decorate
