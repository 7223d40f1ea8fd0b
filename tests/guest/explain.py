"""Describe an exception for somebody who was not there: traceback and the values at hand.

Cases run without pytest, so a plain ``assert`` says nothing by itself.
"""

from __future__ import annotations

import reprlib
import traceback
from types import TracebackType

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 200
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 12


def explain(error: BaseException, module: str = "") -> str:
    """Return the traceback below the caller, and the local values of ``module``'s last frame."""
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    text = "".join(traceback.format_exception(type(error), error, inner))
    return text + _local_values(inner, module)


def _local_values(frames: TracebackType | None, module: str) -> str:
    last: dict[str, object] = {}
    while frames:
        if frames.tb_frame.f_globals.get("__name__") == module:
            last = frames.tb_frame.f_locals
        frames = frames.tb_next
    if not last:
        return ""
    # reprlib survives an object whose own repr raises: it may be what is broken.
    return "with\n" + "".join(f"  {name} = {_REPR.repr(value)}\n" for name, value in last.items())
