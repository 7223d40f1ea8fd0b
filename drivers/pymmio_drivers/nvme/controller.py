"""The NVMe controller: open it, use its namespaces, close it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pymmio import forks
from pymmio.device import Device, open_device
from pymmio.dma import DmaBuffer
from pymmio.errors import Closed, PymmioError, Unsupported
from pymmio.handle import Access
from pymmio.owner import Owner
from pymmio.pci import PciMatch
from pymmio.uri import DeviceUri
from pymmio_drivers.nvme import command
from pymmio_drivers.nvme.admin import Admin
from pymmio_drivers.nvme.buffers import Scratch
from pymmio_drivers.nvme.errors import ControllerClosed
from pymmio_drivers.nvme.events import AsyncEvent, Events
from pymmio_drivers.nvme.lifecycle import Lifecycle
from pymmio_drivers.nvme.machine import Halt, Machine, Settings
from pymmio_drivers.nvme.namespaces import Namespaces
from pymmio_drivers.nvme.queue import QueuePair
from pymmio_drivers.nvme.reaper import InterruptMode, Reapers, choose_vectors, vector_of
from pymmio_drivers.nvme.recovery import Recovery, State
from pymmio_drivers.nvme.registers import Registers
from pymmio_drivers.nvme.request import AnyOperation, Command, Operation, Request
from pymmio_drivers.nvme.structures import IdentifyController

__all__ = ["MATCH", "Controller"]

MATCH = (PciMatch(class_code=0x010802),)
"""Mass storage, non-volatile memory, NVM Express I/O controller (NVMe over PCIe 1.0 §3.8.1)."""

_DELETE_S = 5.0
_DRAIN_S = 1.0


class Controller(Owner):
    """An NVMe controller that was started; close it, or use it in a ``with`` statement.

    Safe for threads.  In a forked child every use raises ForkedObject.
    """

    def __init__(self, device: Device, settings: Settings, stack: ExitStack) -> None:
        """Not for callers: use :meth:`open`."""
        self.device = device
        self.name = device.name
        self.settings = settings
        self._stack = stack
        self._threads = threading.local()
        self._next_queue = 0
        self._is_orderly = True
        self._recovery = Recovery(self.name, abort_grace_s=settings.abort_grace_s)

    @classmethod
    def open(
        cls,
        device: Device | DeviceUri | str,
        *,
        queues: int = 1,
        depth: int | None = None,
        interrupts: InterruptMode = "auto",
        timeout_s: float = 30.0,
        admin_timeout_s: float = 60.0,
        ready_timeout_s: float | None = None,
        abort_grace_s: float = 5.0,
        max_transfer_bytes: int = 1 << 20,
        access: str | Access = Access.AUTO,
        on_event: Callable[[AsyncEvent], None] | None = None,
    ) -> Controller:
        """Take a device and start its controller (NVMe Base 2.0 §3.5.1).

        ``queues`` I/O queue pairs of ``depth`` entries (the controller's limit, 128 at most).
        ``interrupts``: "msix", "msi", "intx", None for polling, "auto" for the best there is.
        ``timeout_s`` and ``admin_timeout_s`` bound each command, ``abort_grace_s`` what an
        abort may take before the controller is reset, ``ready_timeout_s`` start and reset
        (the controller's own word).  ``max_transfer_bytes`` bounds single commands beside
        MDTS.  ``on_event`` is called with each asynchronous event, in a thread of the driver.

        An open device stays the caller's: bus mastering is switched off at close, nothing
        else.  A controller that somebody left enabled is reset first.  If a step fails
        everything before it is undone.  Raises what open_device raises; DeviceTimeout,
        ControllerFatal, Unsupported, DeviceGone, ProtocolError, StatusError.
        """
        settings = Settings(
            queues=queues,
            depth=depth,
            timeout_s=timeout_s,
            admin_timeout_s=admin_timeout_s,
            ready_timeout_s=ready_timeout_s,
            abort_grace_s=abort_grace_s,
            max_transfer_bytes=max_transfer_bytes,
        )
        with ExitStack() as stack:
            if not isinstance(device, Device):
                device = stack.enter_context(open_device(device, access=access))
            self = cls(device, settings, ExitStack())
            self._start(stack, interrupts, on_event)
            self._stack = stack.pop_all()
        self._recovery.opened()
        return self

    def _start(
        self,
        stack: ExitStack,
        interrupts: InterruptMode,
        on_event: Callable[[AsyncEvent], None] | None,
    ) -> None:
        device, recovery = self.device, self._recovery
        ids = device.config.ids
        if not any(match.matches(ids) for match in MATCH):
            raise Unsupported(
                f"{self.name} has class code {ids.class_code:#08x}, an NVMe controller 0x010802",
                hint="Choose another device; pymmio list shows them",
            )
        device.dma.require_usable()  # its queues are there: nothing was touched yet
        region = device.region(0)
        device.name_registers(0, Registers)
        self.registers = Registers(region)
        try:
            timeout_s = self.settings.ready_timeout_s
            self.lifecycle = Lifecycle(self.registers, ready_timeout_s=timeout_s)
        except Unsupported:
            device.check_present()  # a device that left may read as zeros
            raise
        self.lifecycle.disable()  # whoever had it before may have died with queues in use
        stack.callback(self._if_there, device.disable_bus_master)
        device.enable_bus_master()
        memory = stack.enter_context(ExitStack())  # freed after the controller was halted
        self._machine = machine = Machine(
            device, region, self.lifecycle, recovery, self.settings, memory.callback
        )
        self.admin = Admin(
            recovery, machine.admin_queue, machine.scratch, timeout_s=self.settings.admin_timeout_s
        )
        recovery.machine, recovery.admin = machine, self.admin
        recovery.restart = lambda: machine.restart(self.admin, vector_of)
        stack.callback(self._halt, memory)
        machine.start_admin(self.admin)
        machine.make_io_queues(self.admin)
        self.namespaces = Namespaces(self, self.admin.active_namespaces())
        chosen = choose_vectors(device, interrupts)
        if chosen is None:
            self.interrupts = "polling"
            self.lifecycle.mask_interrupts()
            machine.create_io_queues(self.admin, vector_of)
            stack.callback(self._delete_queues)
        else:
            self.interrupts, found = chosen
            stack.callback(self._if_there, found.disable)
            vectors = found.enable(min(len(found), self.settings.queues + 1))
            machine.vectors = len(vectors)
            machine.create_io_queues(self.admin, vector_of)
            stack.callback(self._delete_queues)
            reapers = Reapers(found, vectors, machine.queues, recovery, self.name)
            stack.callback(self._if_there, reapers.stop)
        self.events = Events(self.admin, machine, on_event)
        recovery.on_ready = self.events.start
        forks.track(self)
        self.events.start()

    # --- facts ------------------------------------------------------------------------

    @property
    def identity(self) -> IdentifyController:
        """What the controller says about itself."""
        return self._machine.identity

    @property
    def version(self) -> str:
        """The version of the specification that the controller follows, such as 1.4.0."""
        vs = self.lifecycle.version
        return f"{vs.mjr}.{vs.mnr}.{vs.ter}"

    @property
    def max_transfer(self) -> int:
        """Most bytes of one I/O command; longer transfers are split."""
        return self._machine.max_transfer

    @property
    def page_size(self) -> int:
        """Memory page size in bytes that PRP entries count in."""
        return self.lifecycle.page_size

    @property
    def state(self) -> State:
        """Where the controller is in its life."""
        return self._recovery.state

    @property
    def resets(self) -> int:
        """How often the controller was reset since it was opened."""
        return self._recovery.resets

    @property
    def io_queues(self) -> tuple[QueuePair, ...]:
        """The I/O queue pairs."""
        return tuple(self._machine.io_queues)

    @property
    def closed(self) -> bool:
        """Whether the controller was closed, or belongs to the parent process."""
        return self.state in (State.CLOSING, State.CLOSED, State.FORKED)

    # --- use --------------------------------------------------------------------------

    def alloc(self, size: int) -> DmaBuffer:
        """Allocate memory for transfers, page-aligned and zeroed; the caller closes it.

        What is left open is freed when the device is closed.
        """
        return self._machine.scratch.alloc(size)

    @property
    def scratch(self) -> Scratch:
        """Memory for single commands."""
        return self._machine.scratch

    def io_request(self, what: str | Callable[[], str], held: Sequence[DmaBuffer]) -> Request:
        """Make a request for the calling thread's I/O queue."""
        return self.io_operation(Request, what, held)

    def io_operation(
        self, kind: type[AnyOperation], what: str | Callable[[], str], held: Sequence[DmaBuffer]
    ) -> AnyOperation:
        """Make an operation, of the kind that says how its caller waits, likewise."""
        self._recovery.require_ready()
        return kind(self.thread_queue(), what, timeout_s=self.settings.timeout_s, held=held)

    def explained(self, error: Closed) -> PymmioError:
        """Return what to raise where memory is closed: why it is, if the device is lost."""
        return self._recovery.explained(error)

    def send(self, request: Operation, commands: list[Command]) -> None:
        """Send the commands of an operation that was made for it."""
        self._recovery.dispatch(request.queue, request, commands)

    def thread_queue(self) -> QueuePair:
        """Return the I/O queue of this thread: threads are spread over the queues."""
        index: int | None = getattr(self._threads, "queue", None)
        if index is None:
            index = self._threads.queue = self._next_queue % len(self._machine.io_queues)
            self._next_queue += 1
        return self._machine.io_queues[index]

    def queue_failed(self, queue: QueuePair, error: PymmioError) -> None:
        """Bring the controller back after whoever uses a queue alone found it broken."""
        self._recovery.queue_broken(queue, error)

    def refresh(self) -> None:
        """Read the list of namespaces again: after an event, a format, an attachment."""
        self.namespaces = Namespaces(self, self.admin.active_namespaces())

    def poll(self) -> int:
        """Take all completions that are there; returns how many.  Never needed with interrupts."""
        self._recovery.require_ready()
        return sum(queue.reap() for queue in self._machine.queues)

    def abort(self, request: Request) -> bool:
        """Ask the controller to end a request; returns whether it says that it will.

        Best effort: the request ends by itself, with CommandAborted or as if nothing was
        asked.  One Abort command for each of its outstanding commands (NVMe Base 2.0 §5.1).
        """
        answers = [
            self.admin.send(command.abort(request.queue.qid, cid), f"abort of {cid:#x}").result
            for cid in request.queue.cids_of(request)
        ]
        return any(not answer & 1 for answer in answers)

    def reset(self) -> None:
        """Reset the controller and start it again; outstanding commands raise CommandAborted.

        Also tries to bring back a controller that has failed.  Raises ControllerFailed.
        """
        self._recovery.reset()

    # --- close ------------------------------------------------------------------------

    def close(self) -> None:
        """Shut the controller down and give everything back; closing twice is fine.

        Outstanding commands have a second to end, then they raise CommandAborted.  Goes on
        when a step fails, and raises that afterwards.  In a forked child it does nothing.
        """
        before = self._recovery.closing()
        if before is None:
            return
        self._is_orderly = before is State.READY
        try:
            self._stack.close()
        finally:
            self._recovery.closed()

    def _delete_queues(self) -> None:
        """End outstanding commands in an orderly way (NVMe Base 2.0 §3.6.1); best effort."""
        if not self._is_orderly:
            return
        try:
            self.device.check_present()
            self.lifecycle.status()
            for queue in self._machine.io_queues:
                queue.accept(False)
            self._recovery.drain(_DRAIN_S)
            for queue in self._machine.io_queues:
                self.admin.delete_queue_pair(queue, timeout_s=_DELETE_S)
            self.lifecycle.shutdown(rtd3e_us=self.identity.rtd3e)
        except PymmioError:
            pass  # a controller that does not follow is halted in the next step

    def _halt(self, memory: ExitStack) -> None:
        """Stop the controller and fail what is outstanding; memory is freed after it."""
        error = ControllerClosed(f"{self.name} was closed", hint="Open it again")
        if self._recovery.halt_and_fail(error) is Halt.UNSAFE:
            memory.pop_all()  # never freed here: the device is closed, which unmaps it

    def _if_there(self, step: Callable[[], None]) -> None:
        """Do a step of closing; a device that is gone, or was closed, needs none."""
        try:
            step()
        except PymmioError:
            try:
                self.device.check_present()
            except PymmioError:
                return
            raise

    def _after_fork(self) -> None:
        self._recovery.after_fork()
        for queue in self._machine.queues:
            queue.after_fork()

    def __repr__(self) -> str:
        return f"<Controller {self.name} ({self.identity.mn}), {self.state}>"
