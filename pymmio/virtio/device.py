"""The life of a virtio device (virtio 1.2 §3.1): negotiated, started, reset, closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Self

from pymmio import forks
from pymmio.device import Device, open_device
from pymmio.dma import DmaSpace
from pymmio.errors import (
    BadArgument,
    Closed,
    DeviceFailed,
    DeviceGone,
    DeviceNotFound,
    DeviceTimeout,
    ForkedObject,
    PymmioError,
    Unsupported,
)
from pymmio.mmio import Region
from pymmio.owner import Owner
from pymmio.uri import DeviceUri
from pymmio.virtio.config import VirtioConfig
from pymmio.virtio.features import (
    EVENT_IDX,
    INDIRECT_DESC,
    RING_PACKED,
    Feature,
    FeatureSet,
    negotiate,
)
from pymmio.virtio.interrupts import QueueInterrupts
from pymmio.virtio.queue.layout import QueueLayout
from pymmio.virtio.queue.virtqueue import QueueMemory, Virtqueue
from pymmio.virtio.status import DeviceStatus
from pymmio.virtio.transport import (
    PciTransport,
    QueueAddresses,
    SharedMemoryInfo,
    Transport,
)

__all__ = ["VirtioDevice"]

RESET_TIMEOUT_S = 5.0
DEFAULT_QUEUE_SIZE = 256
INDIRECT_MAX = 32

_RESET_LOOK_S = 0.001


class VirtioDevice(Owner):
    """A virtio device and its queues.  Close it, or use it in a ``with`` statement.

    Made from a transport; :meth:`open` takes a URI or an open PCI device.  ``start`` negotiates,
    sets up the queues and lets the device work.  After ``reset`` it can be started again.  In a
    forked child every use raises ForkedObject, and ``close`` does nothing.
    """

    def __init__(
        self,
        transport: Transport,
        dma: DmaSpace,
        *,
        known: Sequence[Feature] = (),
        prepare: Callable[[], None] = lambda: None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """``known`` names device-specific features in messages.

        ``prepare`` is called before the device may reach memory, ``release`` when it is closed.
        """
        self.transport = transport
        self.name = transport.name
        self.dma = dma
        self.config = VirtioConfig(transport)
        self.features = FeatureSet(0)
        self.queues: Mapping[int, Virtqueue] = {}
        self._known = known
        self._prepare = prepare
        self._release = release
        self._interrupts: QueueInterrupts | None = None
        self._failed: PymmioError | None = None
        self._lock = threading.RLock()
        self._state_lock = threading.Lock()  # of what ``_fail`` reads and writes
        self._starts = 0
        self._is_started = False
        self._is_closed = False
        self._is_forked = False
        forks.track(self)

    @classmethod
    def open(
        cls,
        device: str | DeviceUri | Device,
        *,
        device_type: int | None = None,
        known: Sequence[Feature] = (),
    ) -> Self:
        """Open a PCI device by URI, or take an open one, which is closed with this.

        Raises Unsupported where it is not of ``device_type``, and what ``open_device`` raises.
        """
        with ExitStack() as undo:
            if not isinstance(device, Device):
                device = open_device(device)
                undo.callback(device.close)
            transport = PciTransport(device)
            if device_type not in (None, transport.device_type):
                raise Unsupported(
                    f"{device.name} is a virtio device of type {transport.device_type},"
                    f" not {device_type}",
                    hint="Virtio 1.2 §5 lists the types",
                )
            made = cls(
                transport,
                device.dma,
                known=known,
                prepare=device.enable_bus_master,
                release=device.close,
            )
            undo.pop_all()
        return made

    # --- features and status -----------------------------------------------------------------

    @property
    def status(self) -> DeviceStatus:
        """The device status, read now."""
        return self.transport.read_status()

    def offered(self) -> FeatureSet:
        """Return the features that the device offers, read now."""
        return self.transport.read_features()

    def check(self) -> None:
        """Raise DeviceFailed if the device asks for a reset, DeviceGone if it does not answer."""
        start, failed = self._starts, self._failed
        if failed is not None:
            raise failed
        if DeviceStatus.NEEDS_RESET in self.status:
            error = DeviceFailed(
                f"{self.name}: the device met an error that it cannot recover from",
                hint="Reset it, then start it again",
            )
            self._fail(error, start)
            raise error

    # --- start and reset ---------------------------------------------------------------------

    def start(
        self,
        queues: Mapping[int, int | None] | None = None,
        *,
        required: Collection[Feature] = (),
        wanted: Collection[Feature] = (),
        interrupts: bool | None = None,
        before_ok: Callable[[], None] = lambda: None,
    ) -> FeatureSet:
        """Reset the device, negotiate, set up ``queues`` and set DRIVER_OK.

        ``queues`` maps indices to sizes; None takes what the device offers, 256 at most.
        ``wanted`` features are taken where offered, ring formats among them.  ``interrupts``
        None takes them where there are some, False polls, True requires them.  ``before_ok`` is
        called after the queues were set up, for the device-specific part.

        Raises FeatureMissing, Unsupported, ProtocolError, DeviceTimeout; the device is then
        marked FAILED, and nothing of it is left set up.
        """
        self._require_open()
        with self._lock, ExitStack() as undo:
            self._require_open()
            if self._is_started:
                raise BadArgument(f"{self.name} was started already", hint="Call reset() first")
            self._reset_device(RESET_TIMEOUT_S)
            with self._state_lock:
                self._starts += 1
                self._failed = None
            undo.callback(self._give_up)
            self.transport.write_status(DeviceStatus.ACKNOWLEDGE)
            self.transport.write_status(DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER)
            self._negotiate(required, wanted)
            wanted_queues = queues or {}
            made: dict[int, Virtqueue] = {}
            vectors = None
            if interrupts is not False:
                vectors = self.transport.enable_interrupts(list(wanted_queues))
                if vectors is not None:
                    undo.callback(self.transport.disable_interrupts)
                if vectors is None and interrupts:
                    raise Unsupported(
                        f"{self.name} has no interrupts", hint="Poll: interrupts=False"
                    )
            self._prepare()
            undo.callback(self._abandon, made)
            for index, size in wanted_queues.items():
                made[index] = self._make_queue(index, size)
            before_ok()
            if vectors is not None:
                self._interrupts = QueueInterrupts(
                    self.name, vectors, list(made.values()), self.transport, self.check
                )
                undo.callback(self._stop_interrupts)
            else:
                for queue in made.values():
                    queue.interrupts(False)
            self.transport.write_status(self._working() | DeviceStatus.DRIVER_OK)
            self.queues = made
            self._is_started = True
            undo.pop_all()
            return self.features

    def _working(self) -> DeviceStatus:
        return DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK

    def _negotiate(self, required: Collection[Feature], wanted: Collection[Feature]) -> None:
        offered = self.transport.read_features()
        chosen = negotiate(
            offered,
            name=self.name,
            required=required,
            wanted=wanted,
            is_translated=self.transport.is_translated,
        )
        self.transport.write_features(chosen)
        self.transport.write_status(self._working())
        if DeviceStatus.FEATURES_OK not in self.transport.read_status():
            raise Unsupported(
                f"{self.name} does not work with the features"
                f" {', '.join(chosen.names(self._known))} of those that it offers",
                hint="Take more of what it offers, or less",
            )
        self.features = chosen

    def _make_queue(self, index: int, size: int | None) -> Virtqueue:
        most = self.transport.queue_size(index)
        if not most:
            raise DeviceNotFound(
                f"{self.name} has no virtqueue {index}",
                hint=f"It has {self.transport.queue_count} at most",
            )
        if size is not None and size > most:
            raise BadArgument(
                f"{self.name}: virtqueue {index} has {most} descriptors at most, {size} were asked",
                hint="Ask for fewer, or None for what there is",
            )
        is_packed = RING_PACKED in self.features
        count = size or min(most, DEFAULT_QUEUE_SIZE)
        layout = QueueLayout.of(
            count,
            is_packed=is_packed,
            # No chain is longer than the queue, in a table neither (§2.7.5.3.1).
            indirect_max=min(INDIRECT_MAX, count) if INDIRECT_DESC in self.features else 0,
        )
        with ExitStack() as undo:
            memory = QueueMemory(self.dma, layout)
            undo.callback(memory.close)
            iova = memory.buffer.iova
            where = QueueAddresses(
                iova, type(iova)(iova + layout.driver), type(iova)(iova + layout.device)
            )
            doorbell = self.transport.enable_queue(index, layout.size, where)
            undo.callback(doorbell.close)
            undo.callback(self._reset_device, RESET_TIMEOUT_S)  # the queue is on from here
            queue = Virtqueue(
                index,
                memory,
                doorbell,
                has_event_idx=EVENT_IDX in self.features,
                on_broken=partial(self._fail, start=self._starts),
                check=self.check,
            )
            undo.pop_all()
        return queue

    def reset(self, timeout_s: float = RESET_TIMEOUT_S) -> None:
        """Stop the device; what is under way fails with DeviceFailed, and memory is let go.

        ``start`` lets it work again.  Raises DeviceTimeout if the device does not come to rest:
        memory then stays held, for the device may write to it.
        """
        with self._lock:
            self._require_open()
            self._stop(timeout_s)

    def _stop(self, timeout_s: float) -> None:
        """Stop interrupts, the device and its queues, in this order."""
        with ExitStack() as stack:
            stack.callback(self._stop_queues, timeout_s)
            self._stop_interrupts()

    def _stop_queues(self, timeout_s: float) -> None:
        try:
            with suppress(DeviceGone, Closed):  # then it writes nowhere any more
                self._reset_device(timeout_s)
        except PymmioError as error:
            self._fail(error, self._starts)  # nobody waits for ever
            raise
        with self._state_lock:
            queues, self.queues = self.queues, {}
            self._is_started = False
        for queue in queues.values():
            queue.fail_all(self._failed or DeviceFailed(f"{self.name} was reset"), is_stopped=True)
            queue.close()

    def _reset_device(self, timeout_s: float) -> None:
        """Write 0 to the status and wait until it reads 0 (§2.4)."""
        self.transport.write_status(DeviceStatus(0))
        deadline = time.monotonic() + timeout_s
        while (status := self.transport.read_status()) != 0:
            if time.monotonic() > deadline:
                raise DeviceTimeout(
                    f"{self.name}: the reset is not over after {timeout_s:g} s:"
                    f" status {int(status):#04x}",
                    hint="Reset the function: device.reset()",
                )
            time.sleep(_RESET_LOOK_S)

    def _stop_interrupts(self) -> None:
        interrupts, self._interrupts = self._interrupts, None
        if interrupts is not None:
            interrupts.stop()

    def _abandon(self, queues: Mapping[int, Virtqueue]) -> None:
        """Give back the queues of a start that failed; their memory only once the device rests."""
        with suppress(DeviceGone):
            self._reset_device(RESET_TIMEOUT_S)
        for queue in queues.values():
            queue.close()

    def _give_up(self) -> None:
        """Tell the device that there is no driver for it any more (§3.1.1)."""
        try:
            self.transport.write_status(self.transport.read_status() | DeviceStatus.FAILED)
        except PymmioError:
            return  # it does not answer: the reason is on its way already

    def _fail(self, error: PymmioError, start: int) -> None:
        """Fail all that waits since ``start``; memory stays with the device until it is reset."""
        with self._state_lock:
            if start != self._starts:
                return  # it was reset and started again meanwhile
            self._failed = self._failed or error
            queues = list(self.queues.values())
        for queue in queues:
            queue.fail_all(error, is_stopped=False)

    # --- shared memory -----------------------------------------------------------------------

    def shared_memory(self) -> Sequence[SharedMemoryInfo]:
        """Return the shared-memory regions that the device has (§2.10)."""
        return self.transport.shared_memory()

    def shm_region(self, id: int) -> Region:
        """Return shared-memory region ``id``.  Raises DeviceNotFound, ProtocolError."""
        return self.transport.open_shared_memory(id)

    # --- the end -----------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the device cannot be used any more."""
        return self._is_closed

    def close(self) -> None:
        """Stop the device and give everything back; closing twice is fine."""
        if self._is_forked:
            return
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            with ExitStack() as stack:
                stack.callback(self._release)
                if self._is_started:
                    stack.callback(self._stop, RESET_TIMEOUT_S)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._state_lock = threading.Lock()
        self._is_forked = True

    def _require_open(self) -> None:
        if self._is_forked:
            raise ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device in the child"
            )
        if self._is_closed:
            raise Closed(f"{self.name} is closed", hint="Open the device again")

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __repr__(self) -> str:
        return f"<VirtioDevice {self.name}: type {self.transport.device_type}>"
