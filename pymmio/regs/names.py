"""Error for a name that was not declared, with the names that were."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pymmio.errors import RegisterError

__all__ = ["unknown_name"]


def unknown_name(owner: str, name: str, known: Iterable[str]) -> RegisterError:
    """Return the error for ``name``, which ``owner`` does not declare."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    listing = ", ".join(names) if names else "none"
    return RegisterError(
        f"{owner} has no field {name!r}", hint=f"{guess}Declared fields: {listing}"
    )
