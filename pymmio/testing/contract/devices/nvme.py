"""An NVMe controller, with a few commands of its own (NVM Express Base Specification 1.4).

One queue of each kind and one command at a time; nothing of any driver.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from pymmio.arch.barriers import dma_rmb, dma_wmb
from pymmio.device import Device
from pymmio.dma import DmaBuffer
from pymmio.errors import DeviceTimeout
from pymmio.handle import CONFIG_REGION, IrqKind
from pymmio.pci import Command
from pymmio.testing.contract.check import Ability
from pymmio.testing.contract.devices.base import Echo, Exerciser, Fixed, Poll

__all__ = ["NvmeExerciser", "NvmeWithBuffer"]

# Base 1.4 §3.1
_CAP, _CC, _CSTS, _AQA, _ASQ, _ACQ, _DOORBELLS = 0x00, 0x14, 0x1C, 0x24, 0x28, 0x30, 0x1000
_ENABLE = 1
_SETTINGS = 4 << 20 | 6 << 16  # CC.IOCQES and IOSQES: entries of 16 and 64 bytes; pages of 4 KiB
_READY, _FATAL = 1, 2
_DEPTH = 16
_PAGE = 4096
# opcodes of Base 1.4 figures 139 and 346
_CREATE_SQ, _CREATE_CQ, _IDENTIFY, _GET_FEATURES = 0x01, 0x05, 0x06, 0x0A
_WRITE, _READ = 0x01, 0x02
_CONTIGUOUS, _INTERRUPTS_ON = 1, 2
_NSID, _LBA = 1, 0
_WITHOUT_MASTER_S = 0.3
_LOOK_S = 0.2
_ALL_ONES = 0xFFFF_FFFF  # what is read of a device that is not there


@dataclass
class _Queue:
    """A pair of queues: where they are, what comes next; entries count from 0."""

    number: int
    submission: DmaBuffer
    completion: DmaBuffer
    tail: int = 0
    head: int = 0
    phase: int = 1
    seen: int = 0  #: what the controller was told last


class NvmeExerciser(Exerciser):
    """Identify, reads and writes of namespace 1; an interrupt is a completion that is new."""

    abilities: ClassVar = frozenset(
        {
            Ability.WORK, Ability.DMA, Ability.INTERRUPTS, Ability.INTX, Ability.MESSAGES,
            Ability.VECTORS,
        }
    )  # fmt: skip
    fixed = (Fixed(0, _CAP + 4, 4, 1 << 5, 1 << 5),)  # CAP.CSS: the NVM command set
    echoes = (
        Echo(0, _AQA, 4, 0x0FFF_0FFF),
        Echo(0, _ASQ, 8, ((1 << 64) - 1) & ~(_PAGE - 1)),
        Echo(0, _ACQ, 8, ((1 << 64) - 1) & ~(_PAGE - 1)),
    )

    def __init__(self, device: Device, patience_s: float) -> None:
        super().__init__(device, patience_s)
        self._memory: DmaBuffer | None = None
        self._admin: _Queue | None = None
        self._io: _Queue | None = None
        self._block = 512
        self._stride = 4 << (self.bar.read32(_CAP + 4) & 0xF)  # CAP.DSTRD
        self._commands = 0

    def identify(self) -> None:
        region = self.device.region(CONFIG_REGION)
        assert region.read32(8) >> 8 == 0x010802, hex(region.read32(8))  # NVMe Base 1.4 §2.1.5

    def make_unlike_new(self) -> None:
        self.start()

    def is_like_new(self) -> bool:
        self._forget_queues()
        return not self.bar.read32(_CC) & _ENABLE and not self.bar.read32(_CSTS) & _READY

    # --- polling ---------------------------------------------------------------------------

    def never(self) -> Poll:
        return Poll(0, _CAP + 4, 1 << 5, 0)

    def work(self) -> Poll:
        self._disable()
        self._set_up_admin()
        self.bar.write32(_CC, _SETTINGS | _ENABLE)
        return Poll(0, _CSTS, _READY, _READY)

    def worked(self) -> None:
        assert not self.bar.read32(_CSTS) & _FATAL, "the controller is in a fatal state"

    # --- memory ------------------------------------------------------------------------------

    def start(self, vectors: int = 0) -> None:
        self.device.enable_bus_master()
        poll = self.work()
        self.bar.wait32(
            poll.offset, mask=poll.mask, value=poll.value, timeout_s=3 * self.patience_s
        )
        assert self._memory is not None
        queue = _Queue(1, self._memory[2 * _PAGE : 3 * _PAGE], self._memory[3 * _PAGE : 4 * _PAGE])
        interrupts = _INTERRUPTS_ON | 1 << 16 if vectors > 1 else 0  # vector 1
        size = 1 | (_DEPTH - 1) << 16
        self._admin_command(
            _CREATE_CQ, queue.completion.iova, cdw10=size, cdw11=interrupts | _CONTIGUOUS
        )
        self._admin_command(
            _CREATE_SQ, queue.submission.iova, cdw10=size, cdw11=1 << 16 | _CONTIGUOUS
        )
        data = self._memory[4 * _PAGE : 5 * _PAGE]
        self._admin_command(_IDENTIFY, data.iova, nsid=_NSID)
        with memoryview(data) as view:  # Base 1.4 figure 245: FLBAS, LBAF0.LBADS
            self._block = 1 << view[128 + 4 * (view[26] & 0xF) + 2]
        self._io = queue

    def stop(self) -> None:
        if self._admin is None:
            return
        self._disable()
        self._forget_queues()

    def _forget_queues(self) -> None:
        self._admin = self._io = None
        memory, self._memory = self._memory, None
        if memory is not None and not memory.closed:
            memory.close()

    def _disable(self) -> None:
        self.bar.write32(_CC, 0)
        self.bar.wait32(_CSTS, mask=_READY, value=0, timeout_s=3 * self.patience_s)

    def _set_up_admin(self) -> None:
        self._forget_queues()
        memory = self._memory = self.alloc(5 * _PAGE)
        self._admin = _Queue(0, memory[:_PAGE], memory[_PAGE : 2 * _PAGE])
        self.bar.write32(_AQA, (_DEPTH - 1) << 16 | (_DEPTH - 1))
        self.bar.write64(_ASQ, self._admin.submission.iova)
        self.bar.write64(_ACQ, self._admin.completion.iova)

    def fetch(self, iova: int, size: int) -> bool:
        return self._transfer(_WRITE, iova, size)

    def store(self, iova: int, size: int) -> bool:
        return self._transfer(_READ, iova, size)

    def _transfer(self, opcode: int, iova: int, size: int) -> bool:
        assert self._io is not None, "start() comes first"
        assert size % self._block == 0, (size, self._block)
        first_page = iova // _PAGE
        last_page = (iova + size - 1) // _PAGE
        second = (first_page + 1) * _PAGE if last_page > first_page else 0
        command = (opcode, iova, second, _LBA, size // self._block - 1)
        self._submit(self._io, *command)
        return self._completed(self._io) == 0

    # --- interrupts ----------------------------------------------------------------------------

    def usable(self, kind: IrqKind) -> int:
        count = len(self.device.irqs.of_kind(kind))
        return min(2, count) if kind is IrqKind.MSIX else min(1, count)

    def fire(self, vector: int = 0) -> None:
        """Complete a command whose completion is not told to be seen."""
        queue = self._admin if vector == 0 else self._io
        assert queue is not None, "start() comes first"
        if vector == 0:
            self._submit(queue, _GET_FEATURES, 0, 0, 1, 0, nsid=0)  # arbitration
        else:
            assert self._memory is not None
            data = self._memory[4 * _PAGE : 5 * _PAGE]
            self._submit(queue, _READ, data.iova, 0, _LBA, 0)
        assert self._completed(queue, is_seen=False) == 0

    def acknowledge(self, vector: int = 0) -> None:
        queue = self._admin if vector == 0 else self._io
        assert queue is not None
        self._see(queue)

    # --- commands ------------------------------------------------------------------------------

    def _admin_command(
        self, opcode: int, iova: int, *, nsid: int = 0, cdw10: int = 0, cdw11: int = 0
    ) -> None:
        assert self._admin is not None
        self._submit(self._admin, opcode, iova, 0, cdw10 | cdw11 << 32, 0, nsid=nsid)
        status = self._completed(self._admin)
        assert status == 0, f"admin command {opcode:#x} ended with status {status}"

    def _submit(
        self,
        queue: _Queue,
        opcode: int,
        first: int,
        second: int,
        dwords_10_11: int,
        dword_12: int,
        *,
        nsid: int = _NSID,
    ) -> None:
        """Put a command into the queue and ring; figure 104: the common command format."""
        self._commands = (self._commands + 1) & 0x7FFF
        entry = bytearray(64)
        for offset, size, value in (
            (0, 4, self._commands << 16 | opcode),
            (4, 4, nsid),
            (24, 8, first),
            (32, 8, second),
            (40, 8, dwords_10_11),
            (48, 4, dword_12),
        ):
            entry[offset : offset + size] = value.to_bytes(size, "little")
        with memoryview(queue.submission) as view:
            view[64 * queue.tail : 64 * (queue.tail + 1)] = entry
        queue.tail = (queue.tail + 1) % _DEPTH
        dma_wmb()  # the entry is in memory before the doorbell tells of it
        self.bar.write32(_DOORBELLS + 2 * queue.number * self._stride, queue.tail)

    def _completed(self, queue: _Queue, *, is_seen: bool = True) -> int | None:
        """Wait for the next completion and return its status, None where none comes.

        A controller that could not write it to memory may say that it has failed (CSTS.CFS).
        """
        is_master = bool(self.device.config.command & Command.BUS_MASTER)
        limit_s = self.patience_s if is_master else _WITHOUT_MASTER_S
        start = time.monotonic()
        look = start + min(limit_s, _LOOK_S)
        with memoryview(queue.completion) as view:
            at = 16 * queue.head
            while view[at + 14] & 1 != queue.phase:  # figure 122: the phase tag
                now = time.monotonic()
                if now > start + limit_s and not is_master:
                    return None
                if now > look and is_master:
                    state = self.bar.read32(_CSTS)
                    if view[at + 14] & 1 == queue.phase:
                        break  # it came meanwhile
                    is_failed = state & _FATAL and state != _ALL_ONES
                    if is_failed or now > start + limit_s:
                        raise DeviceTimeout(
                            f"the controller has not completed a command within "
                            f"{now - start:.1f} s; CSTS is {state:#x}"
                        )
                    look = now + _LOOK_S
                time.sleep(2e-5)
            dma_rmb()  # the phase is read before the rest of the entry
            status = int.from_bytes(view[at + 14 : at + 16], "little") >> 1
        queue.head = (queue.head + 1) % _DEPTH
        if queue.head == 0:
            queue.phase ^= 1
        if is_seen:
            self._see(queue)
        return status

    def _see(self, queue: _Queue) -> None:
        # QEMU 7.2 counts a doorbell that tells nothing new, and keeps its pin asserted for ever.
        if queue.seen == queue.head:
            return
        queue.seen = queue.head
        self.bar.write32(_DOORBELLS + (2 * queue.number + 1) * self._stride, queue.head)


class NvmeWithBuffer(NvmeExerciser):
    """A controller whose memory buffer is BAR 2."""

    abilities: ClassVar = NvmeExerciser.abilities | {Ability.SCRATCH}
    scratch = (2,)
