"""Interrupts of a served device, delivered to eventfds."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence

from pymmio.backend.handle_config import HandleConfig
from pymmio.backend.vfio_user.channel import MAX_FDS
from pymmio.backend.vfio_user.connection import Connection
from pymmio.backend.vfio_user.messages import (
    Command,
    IrqAction,
    IrqData,
    IrqFlags,
    IrqIndex,
    IrqInfo,
    SetIrqs,
)
from pymmio.errors import DeviceGone, ProtocolError, PymmioError, Unsupported
from pymmio.handle import IrqKind, RegionHandle
from pymmio.pci.caps import Msi, MsiX, walk_capabilities

__all__ = ["VfioUserIrq"]

_INDEX = {
    IrqKind.INTX: IrqIndex.INTX,
    IrqKind.MSI: IrqIndex.MSI,
    IrqKind.MSIX: IrqIndex.MSIX,
    IrqKind.ERR: IrqIndex.ERR,
    IrqKind.REQ: IrqIndex.REQ,
}
_MOST = {IrqKind.INTX: 1, IrqKind.MSI: 32, IrqKind.MSIX: 2048, IrqKind.ERR: 1, IrqKind.REQ: 1}
"""How many vectors a PCI function can have (PCI Local Bus 3.0 §6.8)."""
_ENABLE = {IrqKind.MSI: 0x0001, IrqKind.MSIX: 0x8000}
"""Enable bits in Message Control (PCI Local Bus 3.0 §6.8.1.3, §6.8.2.3)."""
_CONTROL = 2  # offset of Message Control, of both
_MSI_COUNT_AT = 4  # Multiple Message Enable: log2 of the vectors
_MSI_COUNT_MASK = 0x70


class VfioUserIrq:
    """An :class:`~pymmio.handle.IrqHandle`.  Safe for threads.

    MSI and MSI-X are switched on in configuration space too: a server may look at it before it
    signals.
    """

    def __init__(self, name: str, num_irqs: int, config: RegionHandle) -> None:
        """``num_irqs`` is what the device says that it has; ``config`` its configuration space."""
        self._name = name
        self._num_irqs = num_irqs
        self._config = config
        self._connection: Connection | None = None
        self._fds_a_message = 1
        self._infos: dict[IrqKind, IrqInfo] = {}
        self._enabled: dict[IrqKind, tuple[int, ...]] = {}
        self._controls: dict[IrqKind, int] | None = None
        self._unheard = -1
        self._lock = threading.RLock()

    def park(self, connection: Connection) -> None:
        """Give MSI-X vector 0 a descriptor that nobody looks at, while nobody has switched it on.

        For a server that takes it for a failure of its device when it cannot signal.
        """
        with self._lock:
            self._connection = connection
            if self._unheard < 0:
                self._unheard = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._set(IrqKind.MSIX, IrqData.EVENTFD, 0, 1, [self._unheard])

    def close(self) -> None:
        """Close what :meth:`park` opened; the server keeps its own copy until it is left."""
        with self._lock:
            fd, self._unheard = self._unheard, -1
            if fd >= 0:
                os.close(fd)

    def connect(self, connection: Connection, max_msg_fds: int) -> None:
        """Use this connection from now on; have its server deliver what is enabled."""
        with self._lock:
            self._connection = connection
            self._fds_a_message = max(1, min(max_msg_fds, MAX_FDS))
            for kind, eventfds in self._enabled.items():
                self._set_all(kind, eventfds)

    def count(self, kind: IrqKind) -> int:
        """Return how many vectors the device has; asks the server once."""
        return self._info(kind).count

    def _info(self, kind: IrqKind) -> IrqInfo:
        with self._lock:
            if kind not in self._infos:
                self._infos[kind] = self._ask(kind)
            return self._infos[kind]

    def _ask(self, kind: IrqKind) -> IrqInfo:
        index = _INDEX[kind]
        nothing = IrqInfo(index)
        if index >= self._num_irqs:
            return nothing
        reply = self._required.request(Command.DEVICE_GET_IRQ_INFO, nothing.pack())
        reply.fds.close()
        if reply.header.is_error:
            return nothing
        info = IrqInfo.parse(reply.payload)
        if info.index != index or info.count > _MOST[kind]:
            raise ProtocolError(
                f"{self._name}: asked about {kind}, the server says {info.count} interrupts of "
                f"kind {info.index}; a PCI function has at most {_MOST[kind]}"
            )
        return info if info.flags & IrqFlags.EVENTFD else nothing

    def enable(self, kind: IrqKind, eventfds: Sequence[int]) -> None:
        """Deliver vectors 0, 1, ... to ``eventfds``, in place of those enabled before.

        Vectors that stay are not touched, unless one is taken away: then the kind is off for
        a moment.  Raises Unsupported and what the server refuses; then the kind is off.
        """
        wanted = tuple(eventfds)
        with self._lock:
            if len(wanted) > self.count(kind):
                raise Unsupported(
                    f"{self._name} has {self.count(kind)} {kind} vectors, {len(wanted)} were "
                    "asked for"
                )
            before = self._enabled.get(kind, ())
            try:
                if any(fd >= 0 and wanted[i : i + 1] in ((), (-1,)) for i, fd in enumerate(before)):
                    self._switch_off(kind)
                    before = ()
                self._enabled[kind] = wanted
                self._set_all(kind, wanted, before)
            except BaseException:
                self._give_up(kind)
                raise

    def _set_all(self, kind: IrqKind, wanted: Sequence[int], before: Sequence[int] = ()) -> None:
        """Send what differs, as many descriptors at a time as the server takes."""
        changed = [
            index
            for index, fd in enumerate(wanted)
            if fd >= 0 and (index >= len(before) or before[index] != fd)
        ]
        while changed:
            run = 1
            while run < len(changed) and changed[run] == changed[0] + run:
                run += 1
            run = min(run, self._fds_a_message)
            start = changed[0]
            self._set(kind, IrqData.EVENTFD, start, run, wanted[start : start + run])
            changed = changed[run:]
        self._show(kind, len(wanted))

    def disable(self, kind: IrqKind) -> None:
        """Deliver no vector of this kind any more; a server that is gone delivers none."""
        with self._lock:
            if kind not in self._enabled:
                return
            self._enabled[kind] = ()  # to be asked again where this fails
            try:
                self._switch_off(kind)
            except DeviceGone:
                if not self._required.is_lost:
                    raise
            del self._enabled[kind]

    def _switch_off(self, kind: IrqKind) -> None:
        self._show(kind, 0)
        self._set(kind, IrqData.NONE, 0, 0)
        if kind is IrqKind.MSIX and self._unheard >= 0:
            self.park(self._required)

    def _give_up(self, kind: IrqKind) -> None:
        """Leave the kind off after a failure, which is being raised."""
        self._enabled.pop(kind, None)
        with contextlib.suppress(PymmioError):
            self._switch_off(kind)

    def unmask_intx(self) -> None:
        """Let the next INTx through, where the server masks it each time that it fires."""
        if self._info(IrqKind.INTX).flags & (IrqFlags.AUTOMASKED | IrqFlags.MASKABLE):
            self._set(IrqKind.INTX, IrqData.NONE, 0, 1, action=IrqAction.UNMASK)

    def after_reset(self) -> None:
        """Switch on again in configuration space what is enabled: the reset cleared it."""
        with self._lock:
            for kind, eventfds in self._enabled.items():
                self._show(kind, len(eventfds))

    def _set(
        self,
        kind: IrqKind,
        data: IrqData,
        start: int,
        count: int,
        fds: Sequence[int] = (),
        action: IrqAction = IrqAction.TRIGGER,
    ) -> None:
        request = SetIrqs(_INDEX[kind], data, action, start, count)
        what = f"{action.name.lower()} of {kind} {start} to {start + count - 1}"
        if data is IrqData.NONE and not count:
            what = f"switching {kind} off"
        self._required.ask(Command.DEVICE_SET_IRQS, request.pack(), fds, what=what).fds.close()

    def _show(self, kind: IrqKind, vectors: int) -> None:
        """Set the enable bit in configuration space, for none clear it."""
        control = self._capabilities().get(kind)
        if control is None:
            return
        value = self._config.read(control, 2)
        if kind is IrqKind.MSI:
            value = value & ~_MSI_COUNT_MASK | (max(vectors - 1, 0).bit_length() << _MSI_COUNT_AT)
        enable = _ENABLE[kind]
        self._config.write(control, 2, value | enable if vectors else value & ~enable)

    def _capabilities(self) -> dict[IrqKind, int]:
        """Return where Message Control of MSI and MSI-X stand; read once."""
        if self._controls is None:
            self._controls = {}
            for capability in walk_capabilities(HandleConfig(self._config)):
                if isinstance(capability, Msi):
                    self._controls[IrqKind.MSI] = capability.offset + _CONTROL
                elif isinstance(capability, MsiX):
                    self._controls[IrqKind.MSIX] = capability.offset + _CONTROL
        return self._controls

    @property
    def _required(self) -> Connection:
        assert self._connection is not None  # made and connected by the same function
        return self._connection

    def after_fork(self) -> None:
        """In a forked child: nothing is enabled here, and nobody holds the lock."""
        self._enabled = {}
        self._lock = threading.RLock()
