"""The tools that proofs need, loaded when they are needed: without one, nothing is proven."""

from __future__ import annotations

import importlib
from typing import Any

from pymmio.errors import Unsupported

__all__ = ["ToolMissing", "load"]

_HINTS = {
    "capstone": "pip install 'pymmio[check]'",
    "elftools": "pip install 'pymmio[check]'",
}


class ToolMissing(Unsupported):
    """A tool is not installed; what it would have shown is unproven."""


def load(module: str) -> Any:
    """Return a module of a tool ("capstone", "elftools.elf.elffile"); raise ToolMissing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ToolMissing(f"{name} is not installed", hint=_HINTS.get(name, "")) from error
