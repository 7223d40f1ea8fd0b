"""Messages between peers: a table of who is there, and a ring for each pair of them.

The memory is shared by programs that need not be friends: what they wrote is checked before it
is used.  Single words are single accesses; who is behind a BAR need not dereference it.

Layout, little-endian, in cache lines of 64 bytes::

    0      magic, version, number of places, size of a ring
    64     one line a place: epoch (0: nobody), doorbell id + 1 (0: none)
    then   places * places rings: tail line, head line, ``size`` bytes; ring [from][to]

A message is a length (4 bytes) and that many bytes, filled up to 4.
"""

from __future__ import annotations

import time
from contextlib import suppress

from pymmio.arch.barriers import dma_mb, dma_rmb, dma_wmb
from pymmio.errors import BadArgument, DeviceBusy, DeviceTimeout, ProtocolError
from pymmio.owner import Owner
from pymmio_drivers.ivshmem.device import Ivshmem

__all__ = ["Channel"]

MAGIC = 0x6D6D7970  # "pymm"
VERSION = 1

_LINE = 64
_WORD = 4
_MAGIC, _VERSION, _PLACES, _RING_SIZE = 0, 4, 8, 12
_EPOCH, _DOORBELL = 0, 4
_POLL_S = 0.001
_LOST_S = 0.1


class Channel(Owner):
    """A place among the peers of a device.  Close it, or use it in a ``with`` statement.

    ``place`` is the own number, below ``places``, which all peers agree about; with doorbells
    it is the device's position if none is given.  The first peer lays the table out.
    """

    def __init__(
        self,
        ivshmem: Ivshmem,
        *,
        place: int | None = None,
        places: int = 8,
        ring_size: int = 4096,
        vector: int = 0,
    ) -> None:
        """Raises BadArgument where the memory is too small, DeviceBusy for a taken place,
        ProtocolError where something else is in the memory."""
        self._ivshmem = ivshmem
        self._region = ivshmem.region
        self._vector = vector
        own = ivshmem.position if place is None else place
        if own is None:
            raise BadArgument(
                f"{ivshmem.name}: a device without doorbells has no position to take as place",
                hint=f"Give each peer a place of its own (place=, --place), 0 to {places - 1}",
            )
        if not 0 <= own < places:
            raise BadArgument(
                f"{ivshmem.name}: place {own} is none of 0 to {places - 1}",
                hint="Give another place, or more places to all peers",
            )
        needed = _LINE * (1 + places) + places * places * (2 * _LINE + ring_size)
        if ring_size < _LINE or ring_size & (ring_size - 1) or needed > ivshmem.size:
            raise BadArgument(
                f"{ivshmem.name}: {places} places with rings of {ring_size} bytes need {needed:#x}"
                f" bytes of {ivshmem.size:#x}",
                hint="Rings are a power of two, 64 bytes at least; smaller ones, fewer places or"
                " more memory help",
            )
        self.place = own
        self.places = places
        self._ring_size = ring_size
        self._lay_out()
        self._join()

    def _lay_out(self) -> None:
        expected = {_VERSION: VERSION, _PLACES: self.places, _RING_SIZE: self._ring_size}
        if self._read(_MAGIC) == 0:
            for offset, value in expected.items():
                self._write(offset, value)
            dma_wmb()  # the layout is there before the magic number that says so
            self._write(_MAGIC, MAGIC)
        seen = {offset: self._read(offset) for offset in expected}
        magic = self._read(_MAGIC)
        if magic != MAGIC or seen != expected:
            found = "something else"
            if magic == MAGIC:
                found = (
                    f"one of version {seen[_VERSION]}, {seen[_PLACES]} places,"
                    f" rings of {seen[_RING_SIZE]} bytes"
                )
            raise ProtocolError(
                f"{self._ivshmem.name}: the memory holds no channel of {self.places} places with"
                f" rings of {self._ring_size} bytes, but {found}",
                hint="All peers must use the same numbers; clear the memory to start anew",
            )

    def _join(self) -> None:
        mine = self._line_of(self.place)
        if self._read(mine + _EPOCH) & 1:
            raise DeviceBusy(
                f"{self._ivshmem.name}: place {self.place} is taken",
                hint="Take another place; a peer that died left its own, which leave() frees",
            )
        for other in range(self.places):  # what was for whoever had the place before
            ring = self._ring(other, self.place)
            self._write(ring + _LINE, self._read(ring))
        position = self._ivshmem.position
        self._write(mine + _DOORBELL, 0 if position is None else position + 1)
        dma_wmb()  # the place is set up before it is shown
        self._write(mine + _EPOCH, self._read(mine + _EPOCH) + 1 & 0xFFFF_FFFF)

    # --- peers -------------------------------------------------------------------------------

    def peers(self) -> list[int]:
        """Return the places where somebody else is now."""
        return [
            place
            for place in range(self.places)
            if place != self.place and self._read(self._line_of(place) + _EPOCH) & 1
        ]

    def leave(self, place: int | None = None) -> None:
        """Free the own place, or that of a peer which died."""
        line = self._line_of(self.place if place is None else place)
        epoch = self._read(line + _EPOCH)
        if epoch & 1:
            self._write(line + _EPOCH, epoch + 1 & 0xFFFF_FFFF)

    # --- messages ----------------------------------------------------------------------------

    def send(self, to: int, message: bytes, *, timeout_s: float = 1.0) -> None:
        """Put a message into the ring to a peer and ring its doorbell, if it has one.

        Raises DeviceTimeout where there is no room: the peer does not read, or is gone.
        """
        self._check_place(to)
        needed = _WORD + _up(len(message))
        if needed > self._ring_size - _WORD:
            raise BadArgument(
                f"a message of {len(message)} bytes in rings of {self._ring_size}",
                hint="Send it in parts",
            )
        ring = self._ring(self.place, to)
        deadline = time.monotonic() + timeout_s
        while True:
            tail, head = self._read(ring), self._read(ring + _LINE)
            used = tail - head & 0xFFFF_FFFF
            if used > self._ring_size:
                raise self._broken(to, f"head {head:#x}, tail {tail:#x}")
            if used + needed <= self._ring_size:
                break
            if time.monotonic() > deadline:
                raise DeviceTimeout(
                    f"{self._ivshmem.name}: no room for {len(message)} bytes to place {to} within"
                    f" {timeout_s:g} s",
                    hint="Does the peer still read? leave(place) frees the place of one that died",
                )
            time.sleep(_POLL_S)
        data = len(message).to_bytes(_WORD, "little") + message.ljust(needed - _WORD, b"\0")
        self._put(ring + 2 * _LINE, tail, data)
        dma_wmb()  # the message is there before the tail that says so
        self._write(ring, tail + needed & 0xFFFF_FFFF)
        bell = self._read(self._line_of(to) + _DOORBELL)
        if bell and self._ivshmem.has_doorbell:
            self._ivshmem.ring(bell - 1 & 0xFFFF, self._vector)

    def try_receive(self) -> tuple[int, bytes] | None:
        """Return (place, message) of the next message, None if there is none."""
        for place in range(self.places):
            ring = self._ring(place, self.place)
            tail, head = self._read(ring), self._read(ring + _LINE)
            used = tail - head & 0xFFFF_FFFF
            if not used:
                continue
            dma_rmb()  # the tail is read before the message
            if used > self._ring_size or used % _WORD or head % _WORD:
                raise self._broken(place, f"head {head:#x}, tail {tail:#x}")
            size = int.from_bytes(self._take(ring + 2 * _LINE, head, _WORD), "little")
            if _WORD + _up(size) > used:
                raise self._broken(place, f"a message of {size} bytes where {used} are")
            message = self._take(ring + 2 * _LINE, head + _WORD, size)
            dma_mb()  # the message is read before the head that lets the peer write there
            self._write(ring + _LINE, head + _WORD + _up(size) & 0xFFFF_FFFF)
            return place, message
        return None

    def receive(self, timeout_s: float) -> tuple[int, bytes]:
        """Wait for a message: by doorbell where there is one, else by looking again and again."""
        deadline = time.monotonic() + timeout_s
        vectors = self._ivshmem.vectors
        while True:
            got = self.try_receive()
            if got is not None:
                return got
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeviceTimeout(
                    f"{self._ivshmem.name}: no message for place {self.place} within"
                    f" {timeout_s:g} s; peers: {self.peers()}"
                )
            if vectors:
                try:
                    vectors[self._vector].wait(min(left, _LOST_S))  # a doorbell may get lost
                except DeviceTimeout:
                    continue
            else:
                time.sleep(min(left, _POLL_S))

    async def receive_async(self) -> tuple[int, bytes]:
        """Wait for a message in a coroutine, by doorbell; one that gets lost costs 0.1 s."""
        vectors = self._ivshmem.vectors
        if not vectors:
            raise BadArgument("a plain device wakes nobody", hint="Use receive() in a thread")
        while True:
            got = self.try_receive()
            if got is not None:
                return got
            with suppress(DeviceTimeout):  # a doorbell may get lost
                await vectors[self._vector].wait_async(timeout_s=_LOST_S)

    def close(self) -> None:
        """Free the place; the device stays open."""
        self.leave()

    # --- the memory --------------------------------------------------------------------------

    def _line_of(self, place: int) -> int:
        return _LINE * (1 + place)

    def _ring(self, source: int, target: int) -> int:
        start = _LINE * (1 + self.places)
        return start + (source * self.places + target) * (2 * _LINE + self._ring_size)

    def _read(self, offset: int) -> int:
        return self._region.read32(offset)

    def _write(self, offset: int, value: int) -> None:
        self._region.write32(offset, value)

    def _put(self, start: int, at: int, data: bytes) -> None:
        at %= self._ring_size
        first = min(len(data), self._ring_size - at)
        self._ivshmem.memory.write_from(start + at, data[:first])
        self._ivshmem.memory.write_from(start, data[first:])

    def _take(self, start: int, at: int, size: int) -> bytes:
        at %= self._ring_size
        data = bytearray(size)
        first = min(size, self._ring_size - at)
        with memoryview(data) as view:
            self._ivshmem.memory.read_into(start + at, view[:first])
            self._ivshmem.memory.read_into(start, view[first:])
        return bytes(data)

    def _check_place(self, place: int) -> None:
        if not 0 <= place < self.places or place == self.place:
            raise BadArgument(
                f"no peer has place {place}",
                hint=f"Places are 0 to {self.places - 1}, without the own one, {self.place}",
            )

    def _broken(self, place: int, what: str) -> ProtocolError:
        return ProtocolError(
            f"{self._ivshmem.name}: the ring with place {place} is broken: {what}",
            hint="That peer wrote what it must not; clear the memory to start anew",
        )


def _up(size: int) -> int:
    return size + _WORD - 1 & ~(_WORD - 1)
