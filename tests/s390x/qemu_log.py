"""What QEMU saw arrive: a recorder for rules, read from the trace of its calls to device memory.

The guest (tests/guest/guests.py) has the trace events ``memory_region_ops_*`` on from its start,
in a file of the folder that host and guest share.  Reading it makes no such call: the disks and
folders of this machine are no PCI devices.
"""

from __future__ import annotations

import os
import re

from pymmio.check.rules import Seen
from tests.guest.inside import SHARE

LOG = "accesses.log"
_LINE = re.compile(
    r"memory_region_ops_(read|write) cpu -?\d+ mr \S+ addr (0x\w+) value (0x\w+) size (\d+) "
    r"name '([^']*)'"
)


class QemuLog:
    """The accesses of one memory region of QEMU, by its name; offsets are those in the region.

    ``size`` is that of the region, a power of two: QEMU writes down addresses.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name, self._mask = name, size - 1
        self._fd = os.open(SHARE / LOG, os.O_RDONLY | os.O_CLOEXEC)
        self._partial = b""
        os.lseek(self._fd, 0, os.SEEK_END)

    def take(self) -> list[Seen]:
        """Return what came since the last call, in its order."""
        while chunk := os.read(self._fd, 1 << 16):
            self._partial += chunk
        *lines, self._partial = self._partial.split(b"\n")
        found = (_LINE.search(line.decode()) for line in lines)
        return [
            Seen(int(line[2], 16) & self._mask, int(line[4]), line[1] == "write", int(line[3], 16))
            for line in found
            if line and line[5] == self._name
        ]

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
