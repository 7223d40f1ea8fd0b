"""Declare cases: plain functions that run inside a guest.

Imported on both sides, so it imports nothing that is slow to load in an emulated machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

ATTRIBUTE = "__guest_case__"
PREFIX = "case_"

Function = TypeVar("Function", bound=Callable[..., None])


class Skip(Exception):
    """Raise it in a case that cannot run here; the message names what is missing."""


@dataclass(frozen=True)
class CaseOptions:
    """How a case wants to run.

    ``guests`` are names from tests.guest.guests; the case runs once in each. With ``params`` the
    function takes one argument and runs once for each value. ``seconds`` is about how long it
    takes, where that is much: by it cases are divided among boots.
    """

    timeout_s: float = 60.0
    seconds: float = 1.0
    guests: tuple[str, ...] = ("default",)
    params: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseCall:
    """One call of one case function in a guest, as it travels to the agent."""

    module: str
    function: str
    param: str | None = None
    timeout_s: float = CaseOptions.timeout_s
    seconds: float = CaseOptions.seconds

    @property
    def id(self) -> str:
        """Return the name under which results are reported."""
        suffix = "" if self.param is None else f"[{self.param}]"
        return f"{self.module}:{self.function}{suffix}"


def case(
    *,
    timeout_s: float = CaseOptions.timeout_s,
    seconds: float = CaseOptions.seconds,
    guest: str | tuple[str, ...] = CaseOptions.guests,
    params: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Set the options of a case; a ``case_*`` function without it runs with the defaults."""
    guests = (guest,) if isinstance(guest, str) else guest
    options = CaseOptions(timeout_s=timeout_s, seconds=seconds, guests=guests, params=params)

    def decorate(function: Function) -> Function:
        setattr(function, ATTRIBUTE, options)
        return function

    return decorate


def options_of(function: Callable[..., None]) -> CaseOptions:
    """Return the options that ``case`` set, the defaults without it."""
    options = getattr(function, ATTRIBUTE, None)
    return options if isinstance(options, CaseOptions) else CaseOptions()


def call_of(function: Callable[..., None], param: str | None = None) -> CaseCall:
    """Return the call of ``function``, which must stand at the top level of its module."""
    options = options_of(function)
    return CaseCall(
        function.__module__, function.__qualname__, param, options.timeout_s, options.seconds
    )
