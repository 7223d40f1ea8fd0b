"""Who is asked: a device behind a backend, and what that backend cannot promise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pymmio.device import Device, open_device
from pymmio.errors import BadArgument
from pymmio.testing.contract.check import Ability, Check
from pymmio.testing.contract.devices import DEVICES
from pymmio.testing.contract.devices.base import Exerciser

__all__ = ["Lack", "Subject"]


@dataclass(frozen=True, slots=True)
class Lack:
    """Why a promise is not made.

    The check runs all the same: one that passes is reported, since the reason is wrong then.
    ``sometimes`` lets it pass now and then.  ``untried`` keeps it from running, where it would
    do harm.
    """

    reason: str
    sometimes: bool = False
    untried: bool = False


@dataclass(frozen=True)
class Subject:
    """A device that is opened by ``uri`` and is of the kind ``device``.

    Kinds are "edu", "nvme" (namespace 1 is overwritten), "nvme-cmb" (with a memory buffer in
    BAR 2 that answers all widths) and "access-recorder"; a URI that names one need not be told.
    ``lacks`` says what cannot be promised, by :class:`Ability` or name of a check, and why.
    ``other`` is the URI of a second device of this kind for one address space.  ``remove`` takes
    an open device away.  ``opener`` is called as :func:`pymmio.open_device`.  ``patience``
    multiplies all deadlines.
    """

    uri: str
    device: str = ""
    lacks: Mapping[str, str | Lack] = field(default_factory=dict)
    other: str | None = None
    remove: Callable[[Device], None] | None = None
    opener: Callable[..., Device] = open_device
    patience: float = 1.0

    def __post_init__(self) -> None:
        if not self.device:
            words = re.split(r"[:,?/]", self.uri)
            found = [name for name in DEVICES if name in words[1:2]]
            object.__setattr__(self, "device", found[0] if found else "")
        if self.device not in DEVICES:
            raise BadArgument(
                f"{self.uri} does not say which kind of device it is",
                hint=f"Give device= (--device), one of {', '.join(DEVICES)}",
            )

    @property
    def kind(self) -> type[Exerciser]:
        """What makes such a device do something."""
        return DEVICES[self.device]

    @property
    def abilities(self) -> frozenset[Ability]:
        """What can be asked: of the device, and of what was given beside it."""
        found = set(self.kind.abilities) | {Ability.ISOLATION, Ability.RESET, Ability.FAULTS}
        if self.other is not None:
            found.add(Ability.SHARING)
        if self.remove is not None:
            found.add(Ability.REMOVAL)
        return frozenset(found)

    def lack(self, check: Check) -> Lack | None:
        """Return why the promise is not made, None where it is."""
        for key in (check.name, *sorted(check.needs)):
            if key in self.lacks:
                said = self.lacks[key]
                return Lack(said) if isinstance(said, str) else said
        return None

    def open(self, **options: object) -> Device:
        """Open the device; ``options`` are those of :func:`pymmio.open_device`."""
        return self.opener(self.uri, **options)

    @contextmanager
    def exerciser(self, **options: object) -> Iterator[Exerciser]:
        """Open the device, and what makes it do something."""
        with self.open(**options) as device:
            with self.exercise(device) as exerciser:
                yield exerciser

    @contextmanager
    def exercise(self, device: Device) -> Iterator[Exerciser]:
        """Make an open device do something; it is stopped afterwards."""
        exerciser = self.kind(device, self.seconds(10.0))
        try:
            yield exerciser
        finally:
            if not device.closed:
                exerciser.stop()

    def seconds(self, seconds: float) -> float:
        """Return a deadline for this subject."""
        return seconds * self.patience
