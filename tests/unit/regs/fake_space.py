"""A region over a bytearray that records each access, for tests of pymmio.regs."""

from __future__ import annotations

from collections import deque

from pymmio.errors import DeviceTimeout
from pymmio.mmio.access import Order


class FakeSpace:
    """Little-endian memory; ``log`` holds (operation, width in bits, offset, value or None).

    ``polled`` gives the values that a wait sees, one after the other; the last one stays.
    A wait that runs out of them raises DeviceTimeout at once, no time passes.
    ``acts`` maps an offset to a function (old, written) -> new, for W1C and the like.
    """

    name = "fake"

    def __init__(self, size: int = 0x2000) -> None:
        self.size = size
        self.memory = bytearray(size)
        self.log: list[tuple[str, int, int, int | None]] = []
        self.orders: list[Order | None] = []
        self.waits: list[tuple[int, int, float]] = []
        self.polled: deque[int] = deque()
        self.acts = {}
        self.timeouts_say_last = True

    def peek(self, offset: int, width: int) -> int:
        return int.from_bytes(self.memory[offset : offset + width // 8], "little")

    def poke(self, offset: int, width: int, value: int) -> None:
        self.memory[offset : offset + width // 8] = value.to_bytes(width // 8, "little")

    def _read(self, width: int, offset: int) -> int:
        self.log.append(("read", width, offset, None))
        return self.peek(offset, width)

    def _write(self, width: int, offset: int, value: int) -> None:
        self.log.append(("write", width, offset, value))
        act = self.acts.get(offset, lambda old, written: written)
        self.poke(offset, width, act(self.peek(offset, width), value))

    def _wait(self, width: int, offset: int, mask: int, value: int, timeout_s: float) -> int:
        self.waits.append((mask, value, timeout_s))
        seen = self.peek(offset, width)
        while True:
            if self.polled:
                seen = self.polled.popleft()
            if seen & mask == value:
                return seen
            if not self.polled:
                raise DeviceTimeout(
                    f"{self.name}: nothing after {timeout_s} s",
                    last=seen if self.timeouts_say_last else None,
                )

    def read8(self, offset):
        return self._read(8, offset)

    def read16(self, offset):
        return self._read(16, offset)

    def read32(self, offset):
        return self._read(32, offset)

    def read64(self, offset, order=None):
        self.orders.append(order)
        return self._read(64, offset)

    def write8(self, offset, value):
        self._write(8, offset, value)

    def write16(self, offset, value):
        self._write(16, offset, value)

    def write32(self, offset, value):
        self._write(32, offset, value)

    def write64(self, offset, value, order=None):
        self.orders.append(order)
        self._write(64, offset, value)

    def wait8(self, offset, *, mask, value, timeout_s):
        return self._wait(8, offset, mask, value, timeout_s)

    def wait16(self, offset, *, mask, value, timeout_s):
        return self._wait(16, offset, mask, value, timeout_s)

    def wait32(self, offset, *, mask, value, timeout_s):
        return self._wait(32, offset, mask, value, timeout_s)

    def wait64(self, offset, *, mask, value, timeout_s):
        return self._wait(64, offset, mask, value, timeout_s)
