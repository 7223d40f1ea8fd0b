"""A controller's side of one queue pair, on plain memory, for tests of the engine."""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import ExitStack

from pymmio.handle import Access, RegionInfo
from pymmio.mmio import HandleRegion
from pymmio.testing import mapped_region
from pymmio_drivers.nvme.engine import Engine, ffi

WAYS = ("mapped", "syscall", "python")
SQ_DOORBELL, CQ_DOORBELL = 0x8, 0xC


class LoggingRegion:
    """A RegionHandle that notes every write, and can have a file behind it for pwrite."""

    def __init__(self, fd=None):
        self.info = RegionInfo(0, "bar", 64)
        self.fd = fd
        self.writes = []

    def read(self, offset, width):
        raise AssertionError("doorbells are not read")

    def write(self, offset, width, value):
        self.writes.append((offset, width, value))

    def mmap_source(self):
        return None

    def pread_source(self):
        return None if self.fd is None else (self.fd, 0)


class PlainController:
    """Reads submission entries and writes completions as a controller does."""

    def __init__(self, way="mapped", depth=8, qid=3):
        self.stack = ExitStack()
        self.depth, self.qid = depth, qid
        self.sq = mmap.mmap(-1, depth * 64)
        self.cq = mmap.mmap(-1, max(depth * 16, 16))
        self.way = way
        if way == "mapped":
            self.region = mapped_region(64)
        else:
            self.fd = None
            if way == "syscall":
                self.fd = os.memfd_create("doorbells")
                self.stack.callback(os.close, self.fd)
                os.truncate(self.fd, 64)
            self.handle = LoggingRegion(self.fd)
            access = Access.PREAD if way == "syscall" else Access.MESSAGE
            self.region = HandleRegion(self.handle, access=access)
        self.stack.callback(self.region.close)
        self.doorbells = (self.region.doorbell(SQ_DOORBELL), self.region.doorbell(CQ_DOORBELL))
        self.engine = Engine(
            qid, depth, sq=address(self.sq), cq=address(self.cq), doorbells=self.doorbells
        )
        self.head = 0  # next submission entry to fetch
        self.cq_tail = 0
        self.phase = 1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stack.close()

    def doorbell(self, offset):
        """The value that the device has at a doorbell now."""
        if self.way == "mapped":
            return self.region.read32(offset)
        if self.way == "syscall":
            return struct.unpack("<I", os.pread(self.fd, 4, offset))[0]
        writes = [value for at, width, value in self.handle.writes if at == offset and width == 4]
        return writes[-1] if writes else 0

    def fetch(self):
        """Take the submission entries up to the tail doorbell."""
        entries = []
        while self.head != self.doorbell(SQ_DOORBELL):
            entries.append(self.sq[self.head * 64 : self.head * 64 + 64])
            self.head = (self.head + 1) % self.depth
        return entries

    def complete(self, cid, status=0, result=0, **wrong):
        """Post a completion; ``wrong`` overrides sqhd, sqid, phase."""
        sqhd = wrong.get("sqhd", self.head)
        sqid = wrong.get("sqid", self.qid)
        phase = wrong.get("phase", self.phase)
        entry = struct.pack("<IIHHHH", result, 0, sqhd, sqid, cid, status << 1 | phase)
        self.cq[self.cq_tail * 16 : self.cq_tail * 16 + 16] = entry
        self.cq_tail += 1
        if self.cq_tail == self.depth:
            self.cq_tail, self.phase = 0, self.phase ^ 1

    def serve(self, status=0):
        """Fetch all and complete all, in order."""
        entries = self.fetch()
        for entry in entries:
            self.complete(cid_of(entry), status)
        return entries


def address(memory):
    """The address of a writable buffer."""
    return int(ffi.cast("uintptr_t", ffi.from_buffer(memory)))


def cid_of(entry):
    """Command identifier of a submission entry."""
    return int.from_bytes(entry[2:4], "little")
