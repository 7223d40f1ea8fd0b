"""Turn what an accessor of the core said about a failed access into an exception."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TypeVar

from pymmio.arch import lib
from pymmio.arch.s390x import meanings
from pymmio.errors import AccessError, AccessFault, MioError, Misaligned, ReadOnly

__all__ = ["Place", "access_failed", "read_only"]

E = TypeVar("E", bound=AccessError)

_HINT = "Memory access is switched off (COMMAND.MEM, D3hot) or the device is gone"


@dataclass(frozen=True, slots=True)
class Place:
    """The access: ``what`` is how messages call it; offset and width in bytes."""

    what: str
    region: str
    offset: int
    width: int
    value: int | None
    is_write: bool


def access_failed(
    place: Place, error: int, *, cc: int | None = None, status: int = 0, number: int = 0
) -> AccessError:
    """Return the exception for the code ``error`` of an access; not PM_OK, not PM_CLOSED.

    Details are those of the access of this thread that failed last, unless ``cc`` (0: none),
    ``status`` and the errno ``number`` were kept beside it.  What the machine said is the
    exception's cause.
    """
    if error == lib.PM_REFUSED:
        return _made(
            Misaligned,
            place,
            f"{place.what}: not one access where the memory lies",
            "Use an offset that is a multiple of the width",
        )
    fault = lib.pm_last_fault()
    if cc is None:
        cc, status, number = fault.cc, fault.status, fault.error
    if error == lib.PM_MIO:
        seen = None if status == lib.PM_NO_STATUS else status
        said = meanings.of_condition_code(cc, seen)
        raised = _fault(place, said, cc)
        raised.__cause__ = MioError(said, cc=cc, status=seen)
        return raised
    if error == lib.PM_ERRNO:
        raised = _fault(place, meanings.of_errno(number), number)
        raised.__cause__ = OSError(number, os.strerror(number))
        return raised
    name = signal.Signals(fault.signal).name
    said = f"{name}, si_code {fault.code}, address {fault.address:#x}"
    return _fault(place, said, fault.signal)


def read_only(place: Place, failed: AccessError) -> ReadOnly:
    """Return the exception for a write that failed because the mapping does not allow any."""
    refused = _made(ReadOnly, place, f"{place.region} cannot be written", None)
    refused.__cause__ = failed
    return refused


def _fault(place: Place, said: str, cause_code: int) -> AccessFault:
    raised = _made(AccessFault, place, f"{place.what} failed: {said}", _HINT)
    raised.cause_code = cause_code
    return raised


def _made(kind: type[E], place: Place, message: str, hint: str | None) -> E:
    return kind(
        message,
        region=place.region,
        offset=place.offset,
        width=place.width,
        is_write=place.is_write,
        value=place.value,
        hint=hint,
    )
