"""The peer: an NVMe client as one writes it in plain Python, with struct and a polling loop.

No checks, no time-outs, one queue pair, one PRP: as little as works.
"""

from __future__ import annotations

import struct

import pymmio
from pymmio.owner import Owner

DEPTH = 64
SQE = struct.Struct("<BBHI16xQQQI12x")  # opcode, flags, cid, nsid, prp1, prp2, slba, cdw12
ADMIN = struct.Struct("<BBHI16xQQII16x")  # ..., cdw10, cdw11
CREATE_SQ, CREATE_CQ, READ = 0x01, 0x05, 0x02


class PlainQueue:
    """A queue pair in two memoryviews."""

    def __init__(self, device: pymmio.Device, qid: int, doorbell_stride: int) -> None:
        self.sq, self.cq = device.dma.alloc(64 * DEPTH), device.dma.alloc(4096)
        self._sq, self._cq = memoryview(self.sq), memoryview(self.cq)
        self._bar = device.region(0)
        self._sq_doorbell = 0x1000 + 2 * qid * doorbell_stride
        self._cq_doorbell = self._sq_doorbell + doorbell_stride
        self._tail = self._head = 0
        self._phase = 1

    def put(self, entry: bytes) -> None:
        """Write an entry and ring."""
        self._sq[64 * self._tail : 64 * self._tail + 64] = entry
        self._tail = (self._tail + 1) % DEPTH
        self._bar.write32(self._sq_doorbell, self._tail)

    def take(self) -> tuple[int, int] | None:
        """Return (cid, status) of the next completion, if there is one."""
        at = 16 * self._head
        cid, status = struct.unpack_from("<HH", self._cq, at + 12)
        if status & 1 != self._phase:
            return None
        self._head += 1
        if self._head == DEPTH:
            self._head, self._phase = 0, self._phase ^ 1
        self._bar.write32(self._cq_doorbell, self._head)
        return cid, status >> 1

    def close(self) -> None:
        """Let go of the views."""
        self._sq.release()
        self._cq.release()


class PlainNvme(Owner):
    """Starts the controller, creates one I/O queue pair, reads 4 KiB at a time."""

    def __init__(self, uri: str) -> None:
        self.device = pymmio.open_device(uri)
        self.device.enable_bus_master()
        bar = self.device.region(0)
        stride = 4 << (bar.read64(0) >> 32 & 0xF)
        bar.write32(0x14, 0)
        bar.wait32(0x1C, mask=1, value=0, timeout_s=10)
        self.admin = PlainQueue(self.device, 0, stride)
        bar.write32(0x24, (DEPTH - 1) << 16 | (DEPTH - 1))
        bar.write64(0x28, self.admin.sq.iova)
        bar.write64(0x30, self.admin.cq.iova)
        bar.write32(0x14, 4 << 20 | 6 << 16 | 1)
        bar.wait32(0x1C, mask=1, value=1, timeout_s=10)
        self.io = PlainQueue(self.device, 1, stride)
        self._admin(CREATE_CQ, self.io.cq.iova, (DEPTH - 1) << 16 | 1, 1)
        self._admin(CREATE_SQ, self.io.sq.iova, (DEPTH - 1) << 16 | 1, 1 << 16 | 1)
        self.buffer = self.device.dma.alloc(4096 * DEPTH)

    def _admin(self, opcode: int, prp1: int, cdw10: int, cdw11: int) -> None:
        self.admin.put(ADMIN.pack(opcode, 0, 0, 0, prp1, 0, cdw10, cdw11))
        done = self.admin.take()
        assert done is not None
        assert done[1] == 0, done

    def read(self, count: int, queue_depth: int, blocks: int, positions: int) -> None:
        """Read ``count`` times 4096 bytes, ``queue_depth`` at once."""
        iova, io = self.buffer.iova, self.io
        sent = done = 0
        while done < count:
            while sent < count and sent - done < queue_depth:
                slot = sent % queue_depth
                lba = sent % positions * blocks
                io.put(SQE.pack(READ, 0, slot, 1, iova + 4096 * slot, 0, lba, blocks - 1))
                sent += 1
            completion = io.take()
            if completion is not None:
                assert completion[1] == 0
                done += 1

    def close(self) -> None:
        """Give everything back."""
        self.admin.close()
        self.io.close()
        self.device.close()
