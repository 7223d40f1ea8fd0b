"""Faults of interrupts."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Sequence

from pymmio.errors import PymmioError
from pymmio.handle import IrqKind
from tests.contract.broken.handle import BrokenHandle, fault


@fault
class CountsDifferently(BrokenHandle):
    _turn = itertools.count()

    def count(self, kind: IrqKind) -> int:
        return super().count(kind) + (next(self._turn) % 2 if kind is IrqKind.MSIX else 0)


@fault
class CountsTooMany(BrokenHandle):
    def count(self, kind: IrqKind) -> int:
        return super().count(kind) * (2 if kind in (IrqKind.MSI, IrqKind.MSIX) else 1)


@fault
class CountsNone(BrokenHandle):
    """No kind is there, and nobody says so."""

    def count(self, kind: IrqKind) -> int:
        return 0


@fault
class InterruptsAreLost(BrokenHandle):
    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        return


@fault
class InterruptsComeTwice(BrokenHandle):
    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        super().raise_irq(kind, vector)
        super().raise_irq(kind, vector)


@fault
class InterruptsComeUnasked(BrokenHandle):
    """A message arrives when a kind is switched on, and later again."""

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        super().enable(kind, eventfds)
        for fd in eventfds:
            if fd >= 0:
                os.eventfd_write(fd, 1)


@fault
class EventsOfTheMachineComeUnasked(BrokenHandle):
    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        super().enable(kind, eventfds)
        if kind in (IrqKind.REQ, IrqKind.ERR):
            os.eventfd_write(eventfds[0], 1)


@fault
class VectorsAreMixed(BrokenHandle):
    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        super().enable(kind, list(reversed(eventfds)))


@fault
class AllVectorsAreOne(BrokenHandle):
    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        super().enable(kind, [max(eventfds)] * len(eventfds))


@fault
class FirstEnableStays(BrokenHandle):
    """Enabling again changes nothing."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self._on: set[IrqKind] = set()

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        if kind not in self._on:
            super().enable(kind, eventfds)
        self._on.add(kind)

    def disable(self, kind: IrqKind) -> None:
        self._on.discard(kind)
        super().disable(kind)


@fault
class EnablesOnce(BrokenHandle):
    """What was switched off cannot be switched on again."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self._off: set[IrqKind] = set()

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        if kind not in self._off:
            super().enable(kind, eventfds)

    def disable(self, kind: IrqKind) -> None:
        self._off.add(kind)
        super().disable(kind)


@fault
class DisableDoesNothing(BrokenHandle):
    def disable(self, kind: IrqKind) -> None:
        return


@fault
class DisableOnceOnly(BrokenHandle):
    """Switching off what is off is an error."""

    def __init__(self, inner: object) -> None:
        super().__init__(inner)  # type: ignore[arg-type]
        self._on: set[IrqKind] = set()

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        self._on.add(kind)
        super().enable(kind, eventfds)

    def disable(self, kind: IrqKind) -> None:
        self._on.remove(kind)
        super().disable(kind)


@fault
class TakesTooManyVectors(BrokenHandle):
    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        super().enable(kind, eventfds[: self.count(kind)])


@fault
class TakesOneVectorFewer(BrokenHandle):
    """The last vector cannot be had, and nobody says so."""

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        if len(eventfds) == self.count(kind) > 0:
            raise PymmioError("too many")
        super().enable(kind, eventfds)


@fault
class ThePinIsNeverMasked(BrokenHandle):
    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        super().raise_irq(kind, vector)
        if kind is IrqKind.INTX:
            self.inner.irq.unmask_intx()


@fault
class ThePinStaysMasked(BrokenHandle):
    def unmask_intx(self) -> None:
        return


@fault
class ThePinIsAnEdge(BrokenHandle):
    """What is asserted while the pin is masked is forgotten."""

    def unmask_intx(self) -> None:
        self.inner.irq.lower_intx()
        super().unmask_intx()


@fault
class MessagesWithoutMastering(BrokenHandle):
    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        before = self.inner.config._bytes[4]
        self.inner.config._bytes[4] |= 4
        super().raise_irq(kind, vector)
        self.inner.config._bytes[4] = before

    def device_reads(self, iova: int, size: int) -> bytes:
        return self.inner.dma.read(iova, size, self.name)

    def device_writes(self, iova: int, data: bytes | bytearray | memoryview) -> None:
        self.inner.dma.write(iova, data, self.name)


@fault
class KeepsEventfds(BrokenHandle):
    """Each eventfd is duplicated, for ever."""

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        super().enable(kind, eventfds)
        for fd in eventfds:
            if fd >= 0:
                os.dup(fd)


@fault
class KeepsEventfdsOnFailure(BrokenHandle):
    """Switching on needs a descriptor more, and keeps some if it does not get it."""

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        mine = [os.dup(eventfds[0])]
        mine.append(os.dup(eventfds[0]))
        for fd in mine:
            os.close(fd)
        super().enable(kind, eventfds)


@fault
class LosesInterruptsOfWaiters(BrokenHandle):
    """Interrupts stop when another thread waits."""

    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        if threading.active_count() == 1:
            super().raise_irq(kind, vector)


@fault
class InterruptsStopAtReset(BrokenHandle):
    _was_reset = False

    def reset(self) -> None:
        super().reset()
        self._was_reset = True

    def raise_irq(self, kind: IrqKind, vector: int) -> None:
        if not self._was_reset:
            super().raise_irq(kind, vector)
