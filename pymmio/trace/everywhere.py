"""A trace for each device that a program opens, without changing the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pymmio.trace.sinks import Sink

__all__ = ["every_device", "sink_for"]

_factories: list[Callable[[str], Sink | None]] = []


@contextmanager
def every_device(make: Callable[[str], Sink | None]) -> Iterator[None]:
    """Trace each device that is opened in the body, in any thread, without a ``trace=`` of its own.

    ``make`` gets the URI and returns a sink for this device, or None.  Of several that are
    nested the innermost counts.
    """
    _factories.append(make)
    try:
        yield
    finally:
        _factories.remove(make)


def sink_for(uri: str) -> Sink | None:
    """Return the sink for a device that is opened without one."""
    return _factories[-1](uri) if _factories else None
