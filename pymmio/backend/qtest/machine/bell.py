"""Memory writes that become events: QEMU's ivshmem-doorbell, whose peers are all this process.

A message interrupt is a write to memory.  Aimed at the doorbell register, it has QEMU write to an
eventfd that this process sent it, as the server of the device.  Source: QEMU,
docs/specs/ivshmem-spec.rst (device registers, client-server protocol).
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pymmio.backend.qtest.command_line import BELL_VECTORS
from pymmio.backend.qtest.machine.function import PciFunction
from pymmio.backend.qtest.machine.layout import BELL
from pymmio.backend.qtest.protocol import QtestChannel
from pymmio.errors import DeviceGone, DeviceTimeout, PymmioError, VectorsExhausted
from pymmio.pci.header import Command, Offset

__all__ = ["MSI_PEER", "VECTORS_PER_PEER", "Bell"]

DOORBELL = BELL + 12
"""The address that messages go to; their data is ``peer << 16 | vector``."""

MSI_PEER = 0
"""Data of MSI has 16 bits only: its peer is this one."""

VECTORS_PER_PEER = BELL_VECTORS - 1
"""One more is ours: it tells when QEMU has read all that was sent before."""

_OWN_ID = 1  # of QEMU's device, which no other peer may have
_FIRST_ID = 2
_LAST_ID = 0xFFFF
_VERSION = 0
_SHARED_MEMORY = -1  # stands in place of an id
_SHARED_BYTES = 4096
_PROBE_PIECE_S = 0.002


class Bell:
    """This process' end.  Ids are used once: QEMU frees what it knows of a peer that left."""

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        """Queue what QEMU reads when it starts; takes the socket over."""
        self._socket = connection
        self._timeout_s = timeout_s
        self._next_id = _FIRST_ID
        self._lost: Callable[[str], PymmioError] = DeviceGone
        connection.settimeout(timeout_s)
        self._send(_VERSION)
        self._send(_OWN_ID)
        memory = os.memfd_create("pymmio-bell", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, _SHARED_BYTES)
            self._send(_SHARED_MEMORY, memory)
        finally:
            os.close(memory)

    def switch_on(self, device: PciFunction, channel: QtestChannel) -> None:
        """Give the register its address."""
        self._channel = channel
        self._lost = channel.lost
        device.write32(Offset.BAR0, BELL)
        device.write16(Offset.COMMAND, Command.MEMORY)

    def join(self, eventfds: Sequence[int]) -> int:
        """Make a peer whose vectors are ``eventfds`` and return its id, once QEMU knows it.

        QEMU keeps duplicates of the descriptors until :meth:`leave`.
        """
        if self._next_id > _LAST_ID:
            raise VectorsExhausted(
                "interrupts were switched on too often for this QEMU",
                hint="Close the device and open it again",
            )
        peer, self._next_id = self._next_id, self._next_id + 1
        self._introduce(peer, eventfds)
        return peer

    def join_for_msi(self, eventfds: Sequence[int]) -> None:
        """Make the peer of MSI; once."""
        self._introduce(MSI_PEER, eventfds)

    def leave(self, peer: int) -> None:
        """Have QEMU forget a peer; it may take a moment until it has."""
        self._send(peer)

    def close(self) -> None:
        """End the connection; calling twice is fine."""
        self._socket.close()

    def _introduce(self, peer: int, eventfds: Sequence[int]) -> None:
        with ExitStack() as undo:
            probe = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            undo.callback(os.close, probe)
            for fd in (*eventfds, probe):
                self._send(peer, fd)
            poll = select.poll()
            poll.register(probe, select.POLLIN)
            deadline = time.monotonic() + self._timeout_s
            while True:
                self._channel.write(DOORBELL, 4, peer << 16 | len(eventfds))
                self._channel.settle()
                if poll.poll(_PROBE_PIECE_S * 1000):
                    return
                if time.monotonic() > deadline:
                    raise DeviceTimeout(
                        f"QEMU has not taken eventfds within {self._timeout_s:g} s",
                        hint="See what it says: run it with binary= a script that keeps stderr",
                    )

    def _send(self, number: int, fd: int | None = None) -> None:
        rights = (
            []
            if fd is None
            else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]).tobytes())]
        )
        try:
            self._socket.sendmsg([struct.pack("<q", number)], rights)
        except OSError as error:
            raise self._lost(f"it takes no eventfds any more: {error.strerror}") from error
