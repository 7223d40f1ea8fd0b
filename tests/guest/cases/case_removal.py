"""Devices that are taken away in use: in order and by surprise; memory that does not answer.

Each case prints how long it took; docs/howto/removal-and-faults.rst shows the numbers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic

import pymmio
from pymmio.errors import (
    AccessFault,
    BufferBusy,
    Closed,
    DeviceGone,
    PymmioError,
)
from pymmio.mmio import AccessRule
from pymmio.pci import Command, PowerManagement, PowerState
from pymmio.pci.watch import Action, Watch
from pymmio_drivers.nvme import Controller
from tests.guest.case import case
from tests.guest.cases.vfio_common import refuses
from tests.guest.inside import PCI, wait_until
from tests.guest.interfaces import by_interface, uri_of
from tests.guest.monitor import Monitor
from tests.guest.slots import PLUG_S, Slot, card, plug_in, writer

VS = 0x08  # NVMe Base 2.0 §3.1.3.2, bit 0 is reserved and 0
CSTS = 0x1C
SOON_S = 5.0


class Waiting:
    """A call in a thread that waits for ever; what it raised, and when."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.error: PymmioError | None = None
        self.ended = 0.0
        self._call = call
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._started.wait(SOON_S)

    def _run(self) -> None:
        self._started.set()
        try:
            self._call()
        except PymmioError as error:
            self.error = error
        self.ended = monotonic()

    def join(self) -> PymmioError:
        self._thread.join(PLUG_S)
        assert not self._thread.is_alive(), "it still waits"
        assert self.error is not None, "it ended without an exception"
        return self.error


def waiters(device: pymmio.Device) -> list[Waiting]:
    """Wait for the device in each way there is: polling in C, an interrupt."""
    bar = device.region(0)
    vector = device.irqs.msix[0]
    return [
        Waiting(lambda: bar.wait32(VS, mask=1, value=1, timeout_s=60)),
        Waiting(lambda: vector.wait(timeout_s=60)),
    ]


@by_interface(guests=("slots",))
@case(timeout_s=60, params=("remove", "unbind"))
def case_an_orderly_removal_is_let_through(how: str) -> None:
    with card() as function:
        device = pymmio.open_device(uri_of(function.address))
        called = threading.Event()
        release = device.release_on_request(SOON_S, called.set)
        waiting = waiters(device)
        began = monotonic()
        paths = {"remove": function.path / "remove", "unbind": function.path / "driver/unbind"}
        with writer(paths[how], "1" if how == "remove" else function.address) as process:
            release.wait(SOON_S)
            released = monotonic()
            assert process.wait(SOON_S) == 0
            removed = monotonic()
        assert called.is_set()
        assert [type(waiter.join()) for waiter in waiting] == [Closed, Closed]
        assert device.closed
        assert function.path.exists() == (how == "unbind")
        last = max(waiter.ended for waiter in waiting)
        print(
            f"{how}: waiters raised after {last - began:.3f} s, the device was given back after "
            f"{released - began:.3f} s, its remover went on after {removed - began:.3f} s"
        )


@by_interface(guests=("slots",))
@case(timeout_s=60)
def case_device_del_is_let_through() -> None:
    with card() as function, Monitor() as monitor:
        device = pymmio.open_device(uri_of(function.address))
        asked: list[float] = []
        release = device.release_on_request(SOON_S, lambda: asked.append(monotonic()))
        waiting = waiters(device)
        monitor.command("device_del", id="nvme-card")
        release.wait(PLUG_S)
        assert [type(waiter.join()) for waiter in waiting] == [Closed, Closed]
        last = max(waiter.ended for waiter in waiting)
        monitor.wait_event("DEVICE_DELETED", PLUG_S)
        wait_until(lambda: not function.path.exists(), PLUG_S, "the function to vanish")
        print(f"device_del: waiters raised {last - asked[0]:.3f} s after the request")


@by_interface(guests=("slots",))
@case(timeout_s=60)
def case_the_request_can_be_awaited_and_called_back() -> None:
    async def wait(device: pymmio.Device) -> int:
        return await device.irqs.req[0].wait_async(timeout_s=SOON_S)

    with card() as function:
        device = pymmio.open_device(uri_of(function.address))
        called = threading.Event()
        device.on_request(called.set)
        with writer(function.path / "remove", "1") as process:
            assert asyncio.run(wait(device)) >= 1
            assert called.wait(SOON_S)
            assert device.region(0).read32(VS) >> 16 == 1  # it is all there
            assert process.poll() is None  # and its remover waits
            device.close()
            assert process.wait(SOON_S) == 0


@by_interface(guests=("slots",))
@case(timeout_s=60)
def case_a_memoryview_that_holds_the_device_is_named() -> None:
    reported: list[threading.ExceptHookArgs] = []
    threading.excepthook = reported.append
    with card() as function:
        device = pymmio.open_device(uri_of(function.address))
        view = device.region(0, rule=AccessRule(ram_like=True)).view()
        release = device.release_on_request(0.3)
        with writer(function.path / "remove", "1") as process:
            with refuses(BufferBusy, "BAR0", "memoryviews", "Release them"):
                release.wait(SOON_S)
            assert process.poll() is None
            view.release()
            device.close()
            assert process.wait(SOON_S) == 0
        assert [args.exc_type for args in reported] == [BufferBusy]


@by_interface(guests=("slots",))
@case(timeout_s=60)
def case_a_surprise_removal_ends_in_device_gone() -> None:
    with card() as function:
        slot = Slot(function)
        device = pymmio.open_device(uri_of(function.address))
        bar = device.region(0)
        release = device.release_on_request(SOON_S)
        waiting = waiters(device)
        pulled = slot.pull_out()
        errors = [waiter.join() for waiter in waiting]
        assert [type(error) for error in errors] == [DeviceGone, DeviceGone], errors
        release.wait(SOON_S)
        released = monotonic()
        with refuses(DeviceGone, function.address):
            bar.read32(VS)
        with refuses(DeviceGone):
            device.region(0)
        wait_until(lambda: not function.path.exists(), PLUG_S, "the function to vanish")
        print(
            f"surprise: polling raised {waiting[0].ended - pulled:.3f} s, the interrupt's waiter "
            f"{waiting[1].ended - pulled:.3f} s after the card was pulled out; the device was "
            f"given back after {released - pulled:.3f} s"
        )
        print(f"message: {errors[0]}")


@by_interface(guests=("slots",))
@case(timeout_s=60)
def case_a_surprise_removal_that_nobody_watches_ends_at_the_deadline() -> None:
    with card() as function:
        slot = Slot(function)
        with pymmio.open_device(uri_of(function.address)) as device:
            bar = device.region(0)
            vector = device.irqs.msix[0]
            slot.pull_out()
            with refuses(DeviceGone, function.address, "did not become 0x1"):
                bar.wait32(VS, mask=1, value=1, timeout_s=0.2)
            with refuses(DeviceGone, "no interrupt came"):
                vector.wait(timeout_s=0.2)
            with refuses(DeviceGone):
                device.check_present()
            with refuses(DeviceGone):
                device.reset()


@by_interface(guests=("slots",))
@case(timeout_s=60, params=("remove", "pull-out"))
def case_a_driver_at_work_ends_with_its_device(how: str) -> None:
    def work() -> None:
        while True:
            namespace.read_bytes(lba=0, blocks=8)

    with card() as function:
        slot = Slot(function)
        controller = Controller.open(uri_of(function.address))
        namespace = controller.namespaces[1]
        release = controller.device.release_on_request(SOON_S, controller.close)
        working = Waiting(work)
        began = monotonic()
        if how == "remove":
            with writer(function.path / "remove", "1") as process:
                release.wait(SOON_S)
                assert process.wait(SOON_S) == 0
        else:
            slot.pull_out()
            release.wait(SOON_S)
        released = monotonic()
        error = working.join()
        wait_until(lambda: not function.path.exists(), PLUG_S, "the function to vanish")
        print(
            f"{how} under NVMe reads: {type(error).__name__} after {working.ended - began:.3f} s, "
            f"given back after {released - began:.3f} s"
        )


@by_interface(guests=("slots",))
@case(timeout_s=60, params=("mapped", "pread"))
def case_memory_that_is_off_or_asleep_is_told_apart(access: str) -> None:
    with card() as function:
        with pymmio.open_device(uri_of(function.address), access=access) as device:
            bar = device.region(0)
            version = bar.read32(VS)
            device.config.update_command(off=Command.MEMORY)
            with refuses(AccessFault, "memory decoding is off", "Command.MEMORY"):
                bar.read32(VS)
            with refuses(AccessFault, "memory decoding is off"):
                bar.write32(CSTS, 0)
            with refuses(AccessFault, "memory decoding is off"):
                bar.wait32(VS, mask=1, value=1, timeout_s=SOON_S)
            device.config.update_command(on=Command.MEMORY)
            assert bar.read32(VS) == version

            power = device.config.capability(PowerManagement)
            assert power is not None
            power.set_power_state(PowerState.D3HOT)
            with refuses(AccessFault, "sleeps in D3HOT", "PowerState.D0"):
                bar.read32(VS)
            power.set_power_state(PowerState.D0)
            device.config.update_command(on=Command.MEMORY)
            assert bar.read32(VS) == version


@case(guest="slots", timeout_s=60)
def case_a_card_that_comes_and_goes_is_seen() -> None:
    with card() as function, Monitor() as monitor, Watch(source="kernel") as watch:
        seen: list[tuple[str, str | None]] = []

        def until(action: Action, driver: str | None = None) -> pymmio.HotplugEvent:
            deadline = monotonic() + PLUG_S
            while (event := watch.wait(deadline - monotonic())) is not None:
                if str(event.address) == function.address:
                    seen.append((event.action, event.driver))
                    if event.action is action and driver in (None, event.driver):
                        return event
            raise AssertionError(f"no {action} came, but {seen}")

        slot = Slot(function)
        slot.pull_out()
        gone = until(Action.REMOVE)
        assert gone.info is None
        assert (gone.vendor_id, gone.device_id) == (0x1B36, 0x0010)
        wait_until(slot.is_off, PLUG_S, "the empty slot to be switched off")
        plug_in(monitor)
        came = until(Action.ADD)
        assert came.info is not None
        assert came.info.device_id == 0x0010
        until(Action.BIND, "nvme")
        print(seen)


@case(guest="slots", timeout_s=60)
def case_hotplug_events_are_awaited() -> None:
    async def first(action: Action, address: str) -> pymmio.HotplugEvent:
        async with asyncio.timeout(PLUG_S):
            async for event in watch:
                if event.action is action and str(event.address) == address:
                    return event
        raise AssertionError("the watch ended")

    with card() as function, pymmio.watch(source="kernel") as watch:
        with writer(function.path / "remove", "1"):
            assert asyncio.run(first(Action.REMOVE, function.address)).info is None
        (PCI / "rescan").write_text("1")
        added = asyncio.run(first(Action.ADD, function.address))
        assert added.info is not None
