"""What can happen to a simulated device from outside: unplugged, wanted back, in error, stuck.

For tests of programs: ``device.handle.slot.unplug()`` and its like, from any thread.
"""

from __future__ import annotations

import enum
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pymmio.errors import AccessFault
from pymmio.handle import IrqKind

__all__ = ["Reads", "SimSlot"]

STUCK_LIMIT_S = 120.0
"""No call is kept from coming back for longer, in seconds: tests end."""


class Reads(enum.StrEnum):
    """What reading an unplugged device gives."""

    ONES = "ones"  #: as real links and slots do
    ZEROS = "zeros"  #: as QEMU's emulated slots do
    FAULT = "fault"  #: the machine reports it


class SimSlot:
    """The slot that a simulated device sits in.  Safe for threads.

    ``memory`` has the files behind BARs that are plain memory, by BAR: (descriptor, size).
    """

    def __init__(
        self,
        name: str,
        memory: Mapping[int, tuple[int, int]],
        signal: Callable[[IrqKind], None],
    ) -> None:
        self._name = name
        self._memory = memory
        self._signal = signal
        self._reads: Reads | None = None
        self._gates = {"reset": threading.Event(), "close": threading.Event()}
        for gate in self._gates.values():
            gate.set()

    # --- for tests ---------------------------------------------------------------------------

    def unplug(self, reads: Reads | str = Reads.ONES, *, request: bool = True) -> None:
        """Take the device away while it is in use; it does not come back.

        Its memory then reads as ``reads`` says and loses what is written, its configuration
        space reads as ones, and it neither interrupts nor accesses memory any more.  With
        ``request`` the kernel asks for the device, as it does soon after.
        """
        self._reads = Reads(reads)
        for fd, size in self._memory.values():
            if self._reads is Reads.FAULT:
                os.ftruncate(fd, 0)  # who has it mapped gets a SIGBUS
            else:
                os.pwrite(fd, self._fill(1) * size, 0)
        if request:
            self.request()

    def request(self) -> None:
        """Ask for the device, as somebody who removes or unbinds it does (REQ)."""
        self._signal(IrqKind.REQ)

    def report_error(self) -> None:
        """Report an uncorrectable error of the device (ERR)."""
        self._signal(IrqKind.ERR)

    @contextmanager
    def stuck(self, what: str) -> Iterator[None]:
        """Keep ``"reset"`` or ``"close"`` of the handle from coming back during the block."""
        gate = self._gates[what]
        gate.clear()
        try:
            yield
        finally:
            gate.set()

    # --- for the handle ----------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether the device was unplugged."""
        return self._reads is not None

    def pass_gate(self, what: str) -> None:
        """Wait while a test keeps such calls from coming back."""
        self._gates[what].wait(STUCK_LIMIT_S)

    def read(self, region: str, offset: int, width: int) -> int:
        """Return what a read of the unplugged device gives.  Raises AccessFault."""
        self._fault(region, offset, width, None)
        return int.from_bytes(self._fill(width), "little")

    def write(self, region: str, offset: int, width: int, value: int) -> None:
        """Lose what is written to the unplugged device.  Raises AccessFault."""
        self._fault(region, offset, width, value)

    def _fill(self, size: int) -> bytes:
        return (b"\0" if self._reads is Reads.ZEROS else b"\xff") * size

    def _fault(self, region: str, offset: int, width: int, value: int | None) -> None:
        if self._reads is not Reads.FAULT:
            return
        kind = "read" if value is None else "write"
        raise AccessFault(
            f"{self._name} {region}: {kind} of {width} bytes at {offset:#x} failed",
            region=region,
            offset=offset,
            width=width,
            is_write=value is not None,
            value=value,
        )
