"""A device: its regions, configuration space, DMA memory and interrupts, with one life."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from contextlib import ExitStack

from pymmio import forks
from pymmio.backend import open_handle
from pymmio.bounded import BoundedCall
from pymmio.device_regions import CONFIG_RULE, DeviceRegions
from pymmio.device_trace import DeviceTrace
from pymmio.dma import DmaSpace
from pymmio.errors import (
    Closed,
    DeviceTimeout,
    ForkedObject,
    PymmioError,
    Unsupported,
)
from pymmio.function import RESET_TIMEOUT_S, Function
from pymmio.handle import (
    CONFIG_REGION,
    Access,
    DeviceHandle,
    IrqKind,
    RegionInfo,
    TellsWhenGone,
)
from pymmio.irq import EventWatcher, Interrupts, Subscription
from pymmio.mmio import AccessRule, Region
from pymmio.owner import Owner
from pymmio.pci import BarKind, Command, ConfigSpace
from pymmio.pci.diagnosis import Diagnosis, gone
from pymmio.policy import authorise
from pymmio.reconnection import RECONNECT_TIMEOUT_S, as_returning, bring_back
from pymmio.regs import RegisterFile
from pymmio.removal import Release
from pymmio.teardown import Step, TearDown
from pymmio.trace import Sink
from pymmio.uri import DeviceUri

__all__ = ["Device", "open_device"]

CLOSE_TIMEOUT_S = 30.0
"""How long closing may take in the kernel, which may reset the device then, in seconds."""


def open_device(
    uri: str | DeviceUri,
    *,
    access: str | Access = Access.AUTO,
    trace: Sink | None = None,
    share_dma_with: Device | None = None,
) -> Device:
    """Open the device that ``uri`` names.

    ``access`` forces the way of single accesses: "mapped", "mio", "syscall", "pread" or
    "message"; "auto" takes the best that each region offers.  ``trace`` is called with an
    AccessEvent for each access; an EventSink gets all else that happens, too.
    ``share_dma_with`` is an open device of the same backend: both then have one address space,
    so that a buffer of either has the same iova for both; it stays mapped until it, or the last
    of the devices, is closed.

    Side effects: the policy is asked first; then the backend takes the device, and decoding is
    switched on (COMMAND.MEM; COMMAND.IO where it has ports).

    Raises UriError, PolicyRefused, DeviceNotFound, DeviceBusy, PermissionRefused,
    Unsupported; what was acquired until then is given back.
    """
    parsed = DeviceUri.parse(uri) if isinstance(uri, str) else uri
    try:
        way = Access(access)
    except ValueError:
        raise Unsupported(
            f"access={access!r} is no way of access",
            hint=f"Choose from {', '.join(Access)}",
        ) from None
    authorise(parsed)
    if share_dma_with is None:
        handle, dma = open_handle(parsed), None
    else:
        share_dma_with._require_open()
        handle = open_handle(parsed, share_dma_with=share_dma_with.handle)
        dma = share_dma_with.dma
    with ExitStack() as undo:
        undo.callback(handle.close)
        device = Device(parsed, handle, access=way, trace=trace, shared_dma=dma)
        undo.pop_all()
    return device


class Device(Function, Owner):
    """An open device.  Close it, or use it in a ``with`` statement.

    Closing undoes everything in the order that is safe for memory: bus mastering off,
    interrupts off, DMA memory taken away (with the last device that shares it), regions unmapped,
    the device given back.
    """

    def __init__(
        self,
        uri: DeviceUri,
        handle: DeviceHandle,
        *,
        access: Access = Access.AUTO,
        trace: Sink | None = None,
        shared_dma: DmaSpace | None = None,
    ) -> None:
        """Not for callers: use :func:`open_device`."""
        self.uri = uri
        self.name = handle.name
        self.handle = handle
        self._trace = DeviceTrace.of(trace, uri, handle, shared_dma)
        self._regions = DeviceRegions(handle.name, handle, access, self._trace)
        self._state = "open"
        self._lock = threading.RLock()
        self._enabled_master = False
        self._why: Callable[[], PymmioError] | None = None
        self._reset: BoundedCall[None] | None = None
        self._releases: list[Release] = []
        self._tear_down: TearDown | None = None
        with ExitStack() as undo:
            undo.callback(self._trace.close)
            config_region = self._regions.open(CONFIG_REGION, CONFIG_RULE)
            undo.callback(config_region.close)
            self.config = ConfigSpace(config_region)
            # A backend that offers configuration space alone leaves the function as it is.
            self._decoding = Command.MEMORY if self.regions.keys() - {CONFIG_REGION} else Command(0)
            if self._decoding and any(bar.kind is BarKind.IO for bar in self.config.bars()):
                self._decoding |= Command.IO
            before = self.config.update_command(on=self._decoding)
            undo.callback(self.config.update_command, off=self._decoding & ~before)
            self._diagnosis = Diagnosis(self.name, self.config, self._is_gone)
            self._regions.explain = self._diagnosis
            irq = self._trace.irq(handle.irq)
            self.irqs = Interrupts(irq, name=self.name, explain=self._diagnosis)
            undo.callback(self.irqs.close)
            if shared_dma is None:
                self.dma = DmaSpace(self._trace.dma(handle.dma), name=self.name)
            else:
                shared_dma.join()
                self.dma = shared_dma
            undo.pop_all()
        self._events = EventWatcher(self.irqs, first=self._look_after_event)
        forks.track(self)
        if isinstance(handle, TellsWhenGone):
            handle.when_gone(self._refuse)

    # --- regions -----------------------------------------------------------------------

    @property
    def regions(self) -> MappingType[int, RegionInfo]:
        """The regions that exist, by index: 0 to 5 are BARs, 6 the ROM, 7 config space."""
        return dict(self._regions.infos)

    def region(self, index: int, *, rule: AccessRule | None = None) -> Region:
        """Return region ``index``, mapped if it may be, else by system call or message.

        The same object comes for the same index and rule.  Raises DeviceNotFound where the
        device has no such region, Unsupported where the forced way is not possible.
        """
        with self._lock:
            self._require_open()
            region = self._regions.region(index, rule)
            self._require_open()  # it may have gone meanwhile
            return region

    def name_registers(
        self, index: int, registers: type[RegisterFile] | MappingType[int, str]
    ) -> None:
        """Tell a trace how the registers of a region are called; nothing else happens.

        ``registers`` is a declaration, or names of 32-bit registers by offset.  For drivers: call
        it whenever you know more.
        """
        self._trace.name_registers(index, registers)

    # --- the function as a whole ---------------------------------------------------------

    def enable_bus_master(self) -> None:
        """Let the device make DMA accesses and send MSIs (COMMAND.BUS_MASTER).

        Raises Unsupported, with the reason, where the backend gives the device no memory.
        """
        self._require_open()
        self.dma.require_usable()
        before = self.config.update_command(on=Command.BUS_MASTER)
        self._enabled_master = self._enabled_master or not before & Command.BUS_MASTER

    def disable_bus_master(self) -> None:
        """Keep the device from any DMA access; does not wait for those under way."""
        self._require_open()
        self.config.update_command(off=Command.BUS_MASTER)

    def reset(self, timeout_s: float = RESET_TIMEOUT_S) -> None:
        """Reset the function, then switch decoding on again.

        Registers lose their state and bus mastering is off.  Accesses of other threads wait
        until it is over.  Raises Unsupported, with the reason, where the device offers no
        reset, and DeviceTimeout if it has not come back after ``timeout_s``: then it goes on
        in the kernel, all use of the device raises DeviceTimeout, and close is what is left.
        """
        self._run_reset(self.handle.reset, timeout_s)

    def _run_reset(self, reset: Callable[[], None], timeout_s: float) -> None:
        with self._lock, self._trace.alone(), ExitStack() as undo:
            self._require_open()
            undo.enter_context(self._regions.paused())
            self._reset = BoundedCall(reset, name=f"pymmio reset of {self.name}")
            if not self._reset.wait(timeout_s):
                late = f"{self.name}: a reset has not come back from the kernel"
                self._refuse(lambda: DeviceTimeout(late, hint="Close the device; open it anew"))
                self._trace.was_reset(late)
                raise DeviceTimeout(
                    f"{self.name}: the reset did not come back within {timeout_s:g} s",
                    hint="It goes on in the kernel. Close the device and open it anew; does the "
                    "slot or the link have power?",
                )
            try:
                self._reset.result()
            except PymmioError as error:
                self._trace.was_reset(f"{type(error).__name__}: {error}")
                raise self._diagnosis(error) from error.__cause__
            self._trace.was_reset()
            # A kernel gives COMMAND back as it was before, bus mastering included.
            self.config.update_command(on=self._decoding, off=Command.BUS_MASTER)

    def _refuse(self, why: Callable[[], PymmioError]) -> None:
        """Turn everybody away for good: what is waited for ends, and raises ``why()``."""
        self._why = self._why or why
        self._regions.refuse(why)
        self.irqs.refuse(why)

    @property
    def closed(self) -> bool:
        """Whether the device cannot be used any more."""
        return self._state != "open"

    def _require_open(self) -> None:
        if self._state == "forked":
            raise ForkedObject(
                f"{self.name} belongs to the parent process", hint="Open the device after fork"
            )
        if self._why is not None:
            raise self._why()
        if self._state != "open":
            raise Closed(f"{self.name} is closed", hint="Open the device again")

    # --- what happens to it from outside -------------------------------------------------

    def check_present(self) -> None:
        """Raise DeviceGone if the device has left the machine; reads configuration space.

        For a driver that reads what it cannot believe, such as all ones.
        """
        self._require_open()
        if self._is_gone():
            raise gone(self.name, "it does not answer any more")

    def on_request(self, callback: Callable[[], object]) -> Subscription:
        """Call ``callback`` whenever somebody wants the device back: close it soon.

        Who removes or unbinds it waits until then.  The event comes at once and again every
        some seconds.  Callbacks run in a thread of the device; what they raise is reported by
        threading.excepthook.  A device that has left the machine already is turned off
        before: whoever waits for it gets DeviceGone.  Raises Unsupported where there is no
        such event.
        """
        self._require_open()
        return self._events.subscribe(IrqKind.REQ, callback)

    def on_error(self, callback: Callable[[], object]) -> Subscription:
        """Call ``callback`` whenever the device reports an uncorrectable error.

        As :meth:`on_request`.  PCI Express functions only; Unsupported elsewhere.
        """
        self._require_open()
        return self._events.subscribe(IrqKind.ERR, callback)

    def release_on_request(
        self, timeout_s: float, callback: Callable[[], object] | None = None
    ) -> Release:
        """Close the device, within ``timeout_s``, as soon as somebody wants it back.

        ``callback`` is called first and may take half of that time: stop the device there.
        Then the device is closed; who still polls or waits gets Closed (DeviceGone where it
        has left already).  A memoryview of a region that nobody releases keeps the device
        held: what is in the way is raised by ``wait`` of what this returns, and reported by
        threading.excepthook.  Raises Unsupported where there is no such event.
        """
        release = Release(self, timeout_s, callback)
        self.on_request(release)
        self._releases.append(release)
        return release

    def _is_gone(self) -> bool:
        is_gone = self.handle.is_gone()
        if is_gone:
            self._trace.was_gone()
        return is_gone

    def _look_after_event(self, kind: IrqKind) -> None:
        """Before callbacks run: a device that is gone already is refused to all."""
        if self._is_gone():
            self._refuse(lambda: gone(self.name, "it was removed while it was in use"))

    def reconnect(self, timeout_s: float = RECONNECT_TIMEOUT_S) -> None:
        """Reach a device again that was lost, where the backend can: a server that came back.

        Waits for it up to ``timeout_s``.  DMA buffers are mapped again at the same addresses,
        interrupts that were on are on, and regions, windows and interrupts that were taken
        before are valid again.  What the device itself knew is lost unless its server kept it:
        registers, queues, bus mastering, requests under way.  Let the driver start anew.

        Raises Unsupported where the backend has no such thing, DeviceNotFound where nobody or
        another device is there, and what opening raises; the device then stays gone.
        """
        with self._lock:
            if self._why is None or self._state != "open":
                self._require_open()
            handle = as_returning(self.handle)
            self._refuse(lambda: gone(self.name, "it is being reconnected"))
            try:
                bring_back(handle, self._regions.placed, self._regions.called, self.irqs, timeout_s)
            except BaseException:
                if self._why is not None:
                    self._refuse(self._why)  # also what was let in already
                raise
            self._why = None
            if isinstance(self.handle, TellsWhenGone):
                self.handle.when_gone(self._refuse)
            self._enabled_master = False
            self.config.update_command(on=self._decoding)

    # --- the end -------------------------------------------------------------------------

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Give everything back, all of it even where a step fails; closing twice is fine.

        Raises the first failure at the end, with the others as its notes.  After BufferBusy
        (somebody has a memoryview of a region) close again.  Raises DeviceTimeout if the
        kernel holds it for longer than ``timeout_s``; the rest is then done in the background.
        That a device is gone is no failure here.
        """
        with self._lock:
            if self._state == "open":
                self._state = "closed"
                is_first = True
            elif self._state == "closed" and self._tear_down is not None:
                is_first = False
            else:
                return
        if is_first:
            self._tear_down = TearDown(self.name, self._closing_steps())
        assert self._tear_down is not None
        try:
            self._tear_down.run(timeout_s)
        except (PymmioError, OSError) as error:
            if self._reset is not None and not self._reset.is_over:
                error.add_note(f"a reset of {self.name} is still in the kernel and holds it")
            raise
        for release in self._releases:
            release.closed()

    def _closing_steps(self) -> list[Step]:
        master = Step(
            "switching bus mastering off",
            lambda: self.config.update_command(off=Command.BUS_MASTER),
        )
        turn_away = Step("turning users away", self._turn_away)
        events = Step("watching no more events", self._events.close)
        irqs = Step("switching interrupts off", self.irqs.close)
        dma = Step("taking its DMA memory away", self.dma.leave)
        regions = [
            Step(f"unmapping {region.name}", region.close)
            for region in reversed(self._regions.opened.values())
        ]
        handle = Step("giving it back to the kernel", self._give_back)
        if self._reset is not None and not self._reset.is_over:
            # The kernel blocks whoever touches COMMAND or interrupts until the reset is over
            # (vfio_pci_core's memory_lock); what cannot block comes first.
            return [turn_away, *regions, dma, events, irqs, handle]
        if not self.dma.is_usable:  # it was never switched on here: whose it is, if on, leave it
            return [events, turn_away, irqs, dma, *regions, handle]
        return [events, master, turn_away, irqs, dma, *regions, handle]

    def _give_back(self) -> None:
        try:
            self.handle.close()
        finally:
            self._trace.close()
            self.irqs._let_go()  # nobody signals any more

    def _turn_away(self) -> None:
        self._regions.turn_away(self._why)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        if self._state == "open":
            self._state = "forked"

    def __repr__(self) -> str:
        return f"<Device {self.uri}{'' if self._state == 'open' else ', ' + self._state}>"
