"""All interrupts of a device, by kind and vector."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from pymmio import forks
from pymmio.errors import (
    BadArgument,
    Closed,
    ForkedObject,
    OutOfBounds,
    PymmioError,
    Unsupported,
    VectorsExhausted,
)
from pymmio.handle import IrqHandle, IrqKind
from pymmio.irq.eventfd import EventFd
from pymmio.irq.interrupt import Interrupt
from pymmio.owner import Owner, raise_first

__all__ = ["Interrupts", "VectorSet"]

_EXCLUSIVE = frozenset({IrqKind.INTX, IrqKind.MSI, IrqKind.MSIX})
"""A PCI function delivers one of these at a time (PCI Local Bus 3.0, section 6.8)."""


class VectorSet:
    """The vectors of one kind: ``len(vectors)`` of them, ``vectors[i]``, all by iteration.

    A vector is switched on when it is first taken, with all below it; ``enable(n)`` switches on
    several at once, which is better: a backend may have to switch the others off for a moment
    to add one, and an event of that moment is lost.  Iterating switches on all.  Of a large table
    ``enable_only`` takes some vectors and leaves out those between.
    """

    def __init__(self, irqs: Interrupts, kind: IrqKind) -> None:
        self.kind = kind
        self._irqs = irqs
        self._enabled: list[Interrupt | None] = []
        # What has ended, but the backend may still signal it:
        self._lingering: list[Interrupt] = []
        self._old_taps: list[EventFd] = []
        self._is_sparse = False
        self._count: int | None = None
        self._tap: EventFd | None = None

    def __len__(self) -> int:
        """Return how many vectors the device has; 0 if it has none of this kind."""
        if self._count is None:
            self._count = self._irqs._handle.count(self.kind)
        return self._count

    @property
    def enabled(self) -> int:
        """How many vectors are switched on."""
        return len(self._on())

    def __getitem__(self, index: int) -> Interrupt:
        """Return vector ``index``, switched on.

        Raises OutOfBounds if the device has not as many, Unsupported if it has none of this
        kind or another kind is on.
        """
        with self._irqs._lock:
            self._irqs._require_open()
            self._require_vectors()
            if not 0 <= index < len(self):
                raise self._too_many(f"vector {index}")
            vector = self._enabled[index] if index < len(self._enabled) else None
            if vector is not None:
                return vector
            if self._is_sparse:
                self._irqs._require_alone(self.kind)
                return self._switch_on([index])[0]
            return self.enable(index + 1)[index]

    def __iter__(self) -> Iterator[Interrupt]:
        return iter(self.enable(len(self)) if len(self) else ())

    def enable(self, count: int, *, partial: bool = False) -> tuple[Interrupt, ...]:
        """Switch on at least the first ``count`` vectors and return those; others stay on.

        Interrupts that were taken before stay valid.  ``partial`` lets a kind that is off
        start with fewer vectors, at least one, where the machine cannot give as many: look
        at the length of what is returned.  Raises OutOfBounds and Unsupported as ``[i]``
        does, VectorsExhausted with the number that is possible, and what the backend raises:
        then the whole kind is off.
        """
        with self._irqs._lock:
            self._irqs._require_open()
            self._require_vectors()
            if count < 1:
                raise BadArgument(
                    f"{count} vectors cannot be switched on", hint="Use disable() for none"
                )
            if count > len(self):
                raise self._too_many(f"{count} vectors")
            self._irqs._require_alone(self.kind)
            if partial and not self._on():
                return self._as_many_as_possible(count)
            return self._switch_on(range(count))

    def enable_only(self, indices: Iterable[int]) -> dict[int, Interrupt]:
        """Switch on these vectors, besides those that are on, and return them by number.

        From then on ``[i]`` switches on vector ``i`` and not those below it.  A kernel that
        can allocate MSI-X vectors one by one (Linux 6.4) takes none of the machine's for
        what lies between.  Raises what :meth:`enable` raises.
        """
        wanted = sorted(set(indices))
        with self._irqs._lock:
            self._irqs._require_open()
            self._require_vectors()
            if not wanted:
                raise BadArgument("no vectors to switch on", hint="Use disable() for none")
            for index in (wanted[0], wanted[-1]):
                if not 0 <= index < len(self):
                    raise self._too_many(f"vector {index}")
            self._irqs._require_alone(self.kind)
            found = self._switch_on(wanted)
            self._is_sparse = True
            return dict(zip(wanted, found, strict=True))

    def disable(self) -> None:
        """Switch the kind off, wake who waits with Closed; nothing happens if it is off."""
        with self._irqs._lock:
            self._irqs._require_open()
            self._shut()

    def _shut(self) -> None:
        if not (self._enabled or self._lingering or self._tap or self._old_taps):
            return
        enabled, self._enabled = self._on(), []
        self._is_sparse = False
        for interrupt in enabled:
            interrupt._end()
        self._lingering += enabled
        # When this fails the backend may still signal: the eventfds stay open, so that it does
        # not write to somebody else's file, until it was asked with success or is closed.
        if self._tap is None or self._irqs._is_closed:
            self._tap = None
            self._irqs._handle.disable(self.kind)
        self._let_go()

    def _let_go(self) -> None:
        """Close the eventfds of what has ended: the backend signals them no more."""
        while self._lingering:
            self._lingering.pop()._leave()
        while self._old_taps:
            self._old_taps.pop().close()

    def _attach_tap(self, tap: EventFd) -> None:
        """Have the backend signal ``tap`` from now on; whoever reads it calls ``_forward``."""
        with self._irqs._lock:
            self._irqs._require_open()
            self._require_vectors()
            self._irqs._handle.enable(self.kind, [tap.fileno()])
            self._tap = tap

    def _detach_tap(self) -> None:
        """Have the backend signal the vectors that are on again, or nothing.

        Where that fails the tap is this object's to close.
        """
        with self._irqs._lock:
            if self._tap is None:
                return
            tap, self._tap = self._tap, None
            try:
                if self._enabled and not self._irqs.closed:
                    self._irqs._handle.enable(self.kind, self._descriptors())
                else:
                    self._irqs._handle.disable(self.kind)
            except BaseException:
                self._old_taps.append(tap)
                raise

    def _forward(self, events: int) -> None:
        """Count events that were taken from the tap for whoever waits for the vector."""
        with self._irqs._lock:
            for interrupt in self._on():
                interrupt._forward(events)

    def _after_fork(self) -> None:
        for interrupt in (*self._on(), *self._lingering):
            interrupt._after_fork()

    def _on(self) -> list[Interrupt]:
        return [vector for vector in self._enabled if vector is not None]

    def _descriptors(self) -> list[int]:
        return [-1 if vector is None else vector.fileno() for vector in self._enabled]

    def _as_many_as_possible(self, count: int) -> tuple[Interrupt, ...]:
        """Switch on ``count`` vectors or the largest number that the machine gives."""
        while True:
            try:
                return self._switch_on(range(count))
            except VectorsExhausted as error:
                # Not all kernels say how many: then try half of them.
                fewer = count // 2 if error.possible is None else min(error.possible, count - 1)
                if fewer < 1:
                    raise
                count = fewer

    def _switch_on(self, indices: Sequence[int]) -> tuple[Interrupt, ...]:
        """Switch on what of ``indices`` (ascending) is not on yet, and return them all."""
        unmask = self._irqs._handle.unmask_intx if self.kind is IrqKind.INTX else None
        explain = self._irqs._explain
        found: list[Interrupt] = []
        try:
            self._enabled += [None] * (indices[-1] + 1 - len(self._enabled))
            is_changed = False
            for index in indices:
                vector = self._enabled[index]
                if vector is None:
                    name = f"{self._irqs.name} {self.kind}[{index}]"
                    vector = self._enabled[index] = Interrupt(name, unmask=unmask, explain=explain)
                    is_changed = True
                found.append(vector)
            if is_changed and self._tap is None:
                self._irqs._handle.enable(self.kind, self._descriptors())
                self._let_go()
            return tuple(found)
        except BaseException as error:
            try:
                self._shut()
            except Exception as other:
                error.add_note(f"and then, switching off: {other}")
            raise

    def _require_vectors(self) -> None:
        if not len(self):
            raise Unsupported(
                f"{self._irqs.name} has no {self.kind} interrupts",
                hint=f"It has {self._irqs._summary()}",
            )

    def _too_many(self, what: str) -> OutOfBounds:
        return OutOfBounds(
            f"{self._irqs.name} has {len(self)} {self.kind} vectors, {what} was asked for",
            region=f"{self.kind} vectors",
            hint=f"Vectors are numbered from 0 to {len(self) - 1}",
        )

    def __repr__(self) -> str:
        return f"<VectorSet {self._irqs.name} {self.kind}: {len(self)}, {self.enabled} on>"


class Interrupts(Owner):
    """The interrupts of one device: ``irqs.msix[0].wait(timeout_s=1.0)``.

    ``name`` is the device's, for messages; ``explain`` is asked about each time-out and returns
    the exception to be raised.  Only one of ``msix``, ``msi`` and ``intx`` can be
    on; ``err`` (the device reports an error) and ``req`` (somebody wants the device back) may
    be on beside it.  Safe for threads.
    """

    def __init__(
        self,
        handle: IrqHandle,
        *,
        name: str = "device",
        explain: Callable[[PymmioError], PymmioError] | None = None,
    ) -> None:
        self.name = name
        self._handle = handle
        self._explain = explain
        self._why: Callable[[], PymmioError] | None = None
        self._lock = threading.RLock()
        self._is_closed = False
        self._is_forked = False
        self._sets = {kind: VectorSet(self, kind) for kind in IrqKind}
        forks.track(self)

    @property
    def msix(self) -> VectorSet:
        """MSI-X vectors."""
        return self._sets[IrqKind.MSIX]

    @property
    def msi(self) -> VectorSet:
        """MSI vectors."""
        return self._sets[IrqKind.MSI]

    @property
    def intx(self) -> VectorSet:
        """The interrupt pin: one vector, or none."""
        return self._sets[IrqKind.INTX]

    @property
    def err(self) -> VectorSet:
        """The event that the device reported an uncorrectable error."""
        return self._sets[IrqKind.ERR]

    @property
    def req(self) -> VectorSet:
        """The event that somebody wants the device back: close it soon."""
        return self._sets[IrqKind.REQ]

    def of_kind(self, kind: IrqKind) -> VectorSet:
        """Return the vectors of a kind."""
        return self._sets[kind]

    @property
    def closed(self) -> bool:
        """Whether the interrupts were closed, or belong to the parent process."""
        return self._is_closed or self._is_forked

    def _summary(self) -> str:
        """Return what the device has, for people: ``msix (5), intx (1)``."""
        found = [f"{kind} ({len(vectors)})" for kind, vectors in self._sets.items() if len(vectors)]
        return ", ".join(found) or "no interrupts at all: poll its registers"

    def _require_open(self) -> None:
        """Raise Closed or ForkedObject unless interrupts may be used."""
        if self._is_forked:
            raise ForkedObject(
                f"the interrupts of {self.name} belong to the parent process",
                hint="Open the device in the child",
            )
        if self._why is not None:
            raise self._why()
        if self._is_closed:
            raise Closed(f"the interrupts of {self.name} are closed", hint="Open the device again")

    def _require_alone(self, kind: IrqKind) -> None:
        """Raise Unsupported if a kind is on that excludes ``kind``."""
        if kind not in _EXCLUSIVE:
            return
        for other in _EXCLUSIVE - {kind}:
            if self._sets[other].enabled:
                raise Unsupported(
                    f"{self.name} has {other} switched on, which excludes {kind}",
                    hint=f"Call irqs.{other}.disable() before",
                )

    def refuse(self, why: Callable[[], PymmioError]) -> None:
        """Wake who waits, and refuse all use from now on: they raise ``why()``.

        The backend goes on signalling until :meth:`close`.
        """
        with self._lock:
            if self.closed or self._why is not None:
                return
            self._why = why
            for vectors in self._sets.values():
                for interrupt in vectors._on():
                    interrupt._end(why)

    def restore(self) -> None:
        """Let everybody use and wait for interrupts again after :meth:`refuse`.

        The backend signals the same eventfds as before.
        """
        with self._lock:
            if self.closed or self._why is None:
                return
            self._why = None
            for vectors in self._sets.values():
                for interrupt in vectors._on():
                    interrupt._restore()

    def close(self) -> None:
        """Wake who waits with Closed, switch all kinds off, close the eventfds.

        Closing twice is fine.  Goes on when the backend fails to switch one off, and raises
        that afterwards; its eventfds stay open until the device is given back.  In a forked child
        it does nothing.
        """
        with self._lock:
            if self.closed:
                return
            self._is_closed = True
            errors: list[Exception] = []
            for vectors in self._sets.values():
                try:
                    vectors._shut()
                except Exception as error:  # the other kinds must still be switched off
                    errors.append(error)
        raise_first(errors)

    def _let_go(self) -> None:
        """Close the eventfds that could not be closed so far, now that the handle is closed."""
        with self._lock:
            if self._is_forked:
                return
            for vectors in self._sets.values():
                vectors._let_go()

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._is_forked = True
        for vectors in self._sets.values():
            vectors._after_fork()

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __del__(self) -> None:
        # Attributes may be missing when __init__ failed.
        sets = getattr(self, "_sets", {})
        if any(vectors.enabled for vectors in sets.values()) and not self.closed:
            warnings.warn(
                f"the interrupts of {self.name} were not closed; they stay switched on",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
