"""The controller as a machine: its memory, its queues, how it is started and halted."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from pymmio.device import Device
from pymmio.errors import Closed, DeviceGone, PymmioError, Unsupported
from pymmio.mmio import Region
from pymmio_drivers.nvme import command
from pymmio_drivers.nvme.admin import Admin
from pymmio_drivers.nvme.buffers import Scratch
from pymmio_drivers.nvme.engine import CQE_SIZE
from pymmio_drivers.nvme.lifecycle import Lifecycle
from pymmio_drivers.nvme.memory import QueueMemory
from pymmio_drivers.nvme.prp import list_pages_needed
from pymmio_drivers.nvme.queue import QueueOwner, QueuePair
from pymmio_drivers.nvme.registers import cq_doorbell_offset, sq_doorbell_offset
from pymmio_drivers.nvme.structures import IdentifyController

__all__ = ["Halt", "Machine", "MachineOwner", "Settings"]

ADMIN_DEPTH = 32  # AQA has 12 bits; MQES does not hold for admin queues
ADMIN_TRANSFER = 1 << 16
_GIVE_BACK_S = 1.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How a controller is driven; see :meth:`Controller.open` for what each means."""

    queues: int = 1
    depth: int | None = None
    timeout_s: float = 30.0
    admin_timeout_s: float = 60.0
    ready_timeout_s: float | None = None
    abort_grace_s: float = 5.0
    max_transfer_bytes: int = 1 << 20


class Halt(enum.Enum):
    """How far the controller could be stopped."""

    STOPPED = "stopped"  #: disabled, it does not touch memory and can be started again
    ISOLATED = "isolated"  #: it may hang, but bus mastering is off: it cannot touch memory
    UNSAFE = "unsafe"  #: nothing worked; its memory must stay as it is


class MachineOwner(QueueOwner, Protocol):
    """Whom a machine tells what it cannot mend itself."""

    def explained(self, error: Closed) -> PymmioError:
        """Return what to raise where memory is closed: why it is, if the device is lost."""
        ...


class Machine:
    """One controller behind ``device``; ``owner`` is told what queues cannot mend.

    ``on_close`` takes what frees memory, to be called in reverse order once the controller is
    halted.
    """

    def __init__(
        self,
        device: Device,
        region: Region,
        lifecycle: Lifecycle,
        owner: MachineOwner,
        settings: Settings,
        on_close: Callable[[Callable[[], None]], object],
    ) -> None:
        self.device = device
        self.lifecycle = lifecycle
        self.settings = settings
        self.io_queues: list[QueuePair] = []
        self.vectors = 0  #: interrupt vectors in use, 0 while polling
        self.identity = IdentifyController()
        self.max_transfer = 0
        self._region = region
        self._owner = owner
        self._on_close = on_close
        self.scratch = Scratch(device.dma, lifecycle.page_size, owner.explained)
        on_close(self.scratch.close)
        self.admin_queue = self._make_queue(0, ADMIN_DEPTH, ADMIN_TRANSFER)

    @property
    def queues(self) -> list[QueuePair]:
        """All queue pairs, the admin queue first."""
        return [self.admin_queue, *self.io_queues]

    def _make_queue(self, qid: int, depth: int, max_transfer: int) -> QueuePair:
        """Allocate memory and doorbells; the controller does not know of it yet."""
        space, page = self.device.dma, self.lifecycle.page_size
        list_size = list_pages_needed(max_transfer, page) * page
        stride = self.lifecycle.cap.dstrd
        tail, head = sq_doorbell_offset(qid, stride), cq_doorbell_offset(qid, stride)
        self.device.name_registers(0, {tail: f"SQ{qid}TDBL", head: f"CQ{qid}HDBL"})
        doorbells = (self._region.doorbell(tail), self._region.doorbell(head))
        with ExitStack() as undo:
            sq = space.alloc(depth * command.SQE_SIZE, align=page)
            undo.callback(sq.close)
            cq = space.alloc(depth * CQE_SIZE, align=page)
            undo.callback(cq.close)
            lists = space.alloc((depth - 1) * list_size, align=page) if list_size else None
            undo.pop_all()
        memory = QueueMemory(sq, cq, lists, list_size)
        queue = QueuePair(
            self._owner, qid=qid, depth=depth, memory=memory, doorbells=doorbells, page_size=page
        )
        self._on_close(queue.close)
        return queue

    # --- start ------------------------------------------------------------------------

    def start_admin(self, admin: Admin) -> None:
        """Enable the controller, which must be disabled, and read its identity."""
        memory = self.admin_queue.memory
        self.lifecycle.enable(
            depth=self.admin_queue.depth, asq_iova=memory.sq.iova, acq_iova=memory.cq.iova
        )
        self.admin_queue.accept()
        self.identity = admin.identify_controller()
        self._check_entry_sizes()
        page = 4096 << self.lifecycle.cap.mpsmin
        limit = page << self.identity.mdts if self.identity.mdts else 1 << 62
        # The PRP lists were allocated for what the controller said first: never more after a reset.
        most = self.max_transfer or self.settings.max_transfer_bytes
        self.max_transfer = max(page, min(limit, most))
        admin.max_transfer = min(limit, ADMIN_TRANSFER)

    def make_io_queues(self, admin: Admin) -> None:
        """Allocate the I/O queue pairs that were asked for."""
        asked, limit = self.settings.queues, self.lifecycle.max_depth
        depth = min(128, limit) if self.settings.depth is None else self.settings.depth
        if not 2 <= depth <= limit:
            raise Unsupported(
                f"depth={depth}: the controller's queues have 2 to {limit} entries (CAP.MQES)",
                hint="Ask for another depth, or none",
            )
        granted = admin.set_queue_count(asked)
        if granted < asked:
            raise Unsupported(
                f"queues={asked}: the controller grants {granted} I/O queue pairs",
                hint="Ask for fewer; each thread can share one",
            )
        for qid in range(1, asked + 1):
            self.io_queues.append(self._make_queue(qid, depth, self.max_transfer))

    def create_io_queues(self, admin: Admin, vector_of: Callable[[int, int], int]) -> None:
        """Tell the controller about the I/O queue pairs."""
        for queue in self.io_queues:
            vector = vector_of(queue.qid, self.vectors) if self.vectors else None
            admin.create_queue_pair(queue, vector)

    def restart(self, admin: Admin, vector_of: Callable[[int, int], int]) -> None:
        """Start again after :meth:`halt` with the same queues."""
        self.device.enable_bus_master()  # whatever switched it off
        self.start_admin(admin)
        if self.io_queues:
            admin.set_queue_count(len(self.io_queues))
        self.create_io_queues(admin, vector_of)

    def _check_entry_sizes(self) -> None:
        sqes, cqes = self.identity.sqes, self.identity.cqes
        if not (sqes & 15 <= 6 <= sqes >> 4 and cqes & 15 <= 4 <= cqes >> 4):
            raise Unsupported(
                f"the controller wants queue entries of other sizes (SQES {sqes:#04x}, CQES"
                f" {cqes:#04x})",
                hint="This driver uses 64 and 16 bytes, which the specification requires",
            )

    # --- halt -------------------------------------------------------------------------

    def halt(self) -> tuple[Halt, list[PymmioError]]:
        """Stop the controller for good: afterwards it does not touch memory, unless UNSAFE.

        First a controller reset; if it does not leave the ready state or does not answer, bus
        mastering is switched off and the device reset.  Returns also what failed on the way.
        A device that has left, or was closed under the driver, is not touched.
        """
        problems: list[PymmioError] = []
        try:
            self.device.check_present()
        except DeviceGone as error:
            return Halt.ISOLATED, [error]
        except Closed as error:
            return self._given_back(), [error]
        except PymmioError as error:
            problems.append(error)
        try:
            self.lifecycle.disable()
        except PymmioError as error:
            problems.append(error)
        else:
            return Halt.STOPPED, problems
        try:
            self.device.disable_bus_master()
            self.device.config.read16(0x04)  # a read completes after the write before it
        except PymmioError as error:
            problems.append(error)
            return Halt.UNSAFE, problems
        try:
            self.device.reset()
            self.lifecycle.regs.csts.wait_until(rdy=0, timeout_s=self.lifecycle.ready_timeout_s)
            self.device.enable_bus_master()
        except PymmioError as error:
            problems.append(error)
            return Halt.ISOLATED, problems
        return Halt.STOPPED, problems

    def _given_back(self) -> Halt:
        """Wait until the device, which somebody closes, has been kept from memory.

        Bus mastering is switched off before regions are closed (see Device).
        """
        end = time.monotonic() + _GIVE_BACK_S
        while not self._region.closed:
            if time.monotonic() >= end:
                return Halt.UNSAFE
            time.sleep(0.001)
        return Halt.ISOLATED
