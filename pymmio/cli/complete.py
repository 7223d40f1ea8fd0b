"""What a shell may complete: device URIs, PCI addresses, regions, names of drivers.

Nothing is opened or bound; only what the kernel shows and what is installed is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pymmio.pci import PciDeviceInfo

__all__ = [
    "REGIONS",
    "complete_address",
    "complete_driver",
    "complete_from",
    "complete_model",
    "complete_region",
    "complete_uri",
]

REGIONS = (*(f"bar{index}" for index in range(6)), "rom", "config")
"""Regions by name, in the order of their numbers in VFIO."""

_MODEL_GROUP = "pymmio.models"
_NOT_SERVED = "replay"  # opens by itself; known here by its name, to import nothing
_DRIVER_GROUP = "pymmio.drivers"


def complete_uri(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Give models by name, and the PCI functions of this machine, those bound to VFIO first."""
    models = ((f"sim:{name}", "model in this process") for name in _names(_MODEL_GROUP))
    functions = ((f"vfio:{one.address}", _about(one)) for one in _functions())
    return _matching([*models, *functions], incomplete)


def complete_address(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Give the addresses of the PCI functions of this machine."""
    return _matching(((str(one.address), _about(one)) for one in _functions()), incomplete)


def complete_region(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Give the names of regions: those that the device has, as far as the kernel shows them."""
    uri, found = ctx.params.get("uri") or "", REGIONS
    for one in _functions() if uri.startswith("vfio:") else ():
        if uri.partition(":")[2].partition("?")[0] == str(one.address):
            there = {resource.index for resource in one.resources}
            found = (*(name for index, name in enumerate(REGIONS) if index in there), "config")
    return _matching(((name, "") for name in found), incomplete)


def complete_driver(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Give the names of the installed drivers."""
    return _matching(((name, "") for name in _names(_DRIVER_GROUP)), incomplete)


def complete_model(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Give the names of the installed device models that can be served."""
    names = (name for name in _names(_MODEL_GROUP) if name != _NOT_SERVED)
    return _matching(((name, "") for name in names), incomplete)


def complete_from(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """Give those of ``names`` that begin like what is written."""
    return _matching(((name, "") for name in names), incomplete)


def _names(group: str) -> Iterator[str]:
    from importlib.metadata import entry_points

    return iter(sorted({entry.name for entry in entry_points(group=group)}))


def _functions() -> list[PciDeviceInfo]:
    from pymmio.pci import discover

    return sorted(discover(), key=lambda one: (one.driver != "vfio-pci", one.address))


def _about(one: PciDeviceInfo) -> str:
    return f"{one.name}, {one.driver or 'no driver'}"


def _matching(found: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(value, help=about or None)
        for value, about in found
        if value.startswith(incomplete)
    ]
