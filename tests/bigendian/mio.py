"""The emulator of memory-I/O instructions, from inside a process that it was preloaded into.

See tests/arch/mio/README.md.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field

PRELOADED = os.environ.get("EMULATED_PRELOAD")
OPERATIONS = ("PCILGI", "PCISTGI", "PCISTBI", "PCIWB", "353", "352")  # enum operation
WIDEST = 128


@dataclass
class Emulator:
    """Counts what was executed since it was made, and lets the next access fail."""

    library: ctypes.CDLL = field(default_factory=lambda: ctypes.CDLL(str(PRELOADED)))
    before: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.library.mio_executed.restype = ctypes.c_uint64
        self.before = self._all()

    def _all(self) -> dict[tuple[str, int], int]:
        counts = {}
        for number, name in enumerate(OPERATIONS):
            for width in range(WIDEST + 1):
                if count := self.library.mio_executed(number, width):
                    counts[name, width] = count
        return counts

    def executed(self) -> dict[tuple[str, int], int]:
        """Return how often each (operation, width) was executed since the last call."""
        now = self._all()
        new = {key: count - self.before.get(key, 0) for key, count in now.items()}
        self.before = now
        return {key: count for key, count in new.items() if count}

    def fail_next_instruction(self, cc: int, status: int) -> None:
        """Let the next instruction do nothing but set this condition code and status."""
        self.library.mio_inject(cc, status)

    def fail_next_call(self, result: int) -> None:
        """Let the next system call return this: -errno, or a condition code."""
        self.library.mio_inject_call.argtypes = [ctypes.c_long]
        self.library.mio_inject_call(result)
