"""What happens to a device from outside: asked for, unplugged, in error, asleep, stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

import pymmio
from pymmio.backend.sim import Reads, SimHandle
from pymmio.device import Device
from pymmio.errors import (
    AccessFault,
    BadArgument,
    BufferBusy,
    Closed,
    DeviceGone,
    DeviceTimeout,
    PymmioError,
    Unsupported,
)
from pymmio.mmio import AccessRule
from pymmio.pci import Command, PowerManagement, PowerState
from tests.unit.backend.sim.rig import make_device

SOON_S = 20.0
RAM = 2  # the rig's BAR that is plain memory, mapped


class Waiting:
    """A call in a thread; ``join`` returns what it raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._error: BaseException | None = None
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
            self._error = error

    def join(self) -> type[BaseException]:
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()
        return type(self._error)


def waiters(device: Device) -> list[Waiting]:
    """Poll mapped memory in C, poll by messages, wait for an interrupt."""
    ram, bar, vector = device.region(RAM), device.region(0), device.irqs.msix[0]
    return [
        Waiting(lambda: ram.wait32(0, mask=2, value=2, timeout_s=60)),
        Waiting(lambda: bar.wait32(0, mask=1, value=1, timeout_s=60)),
        Waiting(lambda: vector.wait(timeout_s=60)),
    ]


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """What threading.excepthook was told."""
    found: list[BaseException] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: found.append(args.exc_value))
    return found


# --- asked for ---------------------------------------------------------------------------


def test_a_request_closes_the_device_and_ends_all_waits() -> None:
    device, model, handle = make_device()
    order: list[str] = []
    release = device.release_on_request(SOON_S, lambda: order.append(f"closed {device.closed}"))
    waiting = waiters(device)
    assert not release.is_done
    handle.slot.request()
    release.wait(SOON_S)
    assert order == ["closed False"]
    assert [waiter.join() for waiter in waiting] == [Closed] * 3
    assert model.is_closed
    with pytest.raises(Closed):
        device.region(0)
    device.close()


def test_the_release_can_be_awaited() -> None:
    device, _, handle = make_device()

    async def main() -> None:
        release = device.release_on_request(SOON_S)
        handle.slot.request()
        async with asyncio.timeout(SOON_S):
            await release

    asyncio.run(main())
    assert device.closed


def test_closing_before_anybody_asked_ends_the_wait_for_the_release() -> None:
    device, _, _ = make_device()
    release = device.release_on_request(SOON_S)
    with pytest.raises(DeviceTimeout, match="was not asked for"):
        release.wait(0.01)
    device.close()
    release.wait(SOON_S)


def test_a_callback_that_fails_is_reported_and_the_device_closed(
    reported: list[BaseException],
) -> None:
    device, model, handle = make_device()

    def fail() -> None:
        raise RuntimeError("by the callback")

    release = device.release_on_request(SOON_S, fail)
    handle.slot.request()
    release.wait(SOON_S)
    device._events._thread.join(SOON_S)
    assert model.is_closed
    assert [str(error) for error in reported] == ["by the callback"]


def test_a_callback_that_finds_the_device_gone_is_no_failure(
    reported: list[BaseException],
) -> None:
    device, _, handle = make_device()
    release = device.release_on_request(SOON_S, device.disable_bus_master)
    thread = device._events._thread
    handle.slot.unplug()
    release.wait(SOON_S)
    thread.join(SOON_S)
    assert not reported


def test_a_callback_that_takes_too_long_does_not_keep_the_device(
    reported: list[BaseException],
) -> None:
    device, model, handle = make_device()
    gate = threading.Event()
    release = device.release_on_request(0.2, lambda: gate.wait(60))
    handle.slot.request()
    release.wait(SOON_S)
    device._events._thread.join(SOON_S)
    assert model.is_closed
    assert [type(error) for error in reported] == [DeviceTimeout]
    assert "longer than 0.1 s" in str(reported[0])
    gate.set()


def test_a_memoryview_that_is_still_there_is_named_and_can_be_released_later(
    reported: list[BaseException],
) -> None:
    device, _, handle = make_device()
    ram = device.region(RAM)
    view = ram.view()
    poller = Waiting(lambda: ram.wait32(0, mask=2, value=2, timeout_s=60))
    release = device.release_on_request(0.1)
    handle.slot.request()
    with pytest.raises(BufferBusy, match="BAR2: 1 memoryviews of it exist") as raised:
        release.wait(SOON_S)
    assert "its remover waits" in raised.value.__notes__[-1]
    assert poller.join() is Closed  # even so
    with pytest.raises(Closed):
        ram.read32(0)
    with pytest.raises(BufferBusy):
        device.close()
    view.release()
    del view
    device.close()
    device._events._thread.join(SOON_S)
    assert [type(error) for error in reported] == [BufferBusy]


def test_a_memoryview_that_is_released_in_time_does_no_harm() -> None:
    device, _, handle = make_device()
    ram = device.region(RAM)
    view = ram.view()

    def poll() -> None:
        nonlocal view
        try:
            ram.wait32(0, mask=2, value=2, timeout_s=60)
        finally:
            view.release()
            del view

    poller = Waiting(poll)
    release = device.release_on_request(SOON_S)
    handle.slot.request()
    release.wait(SOON_S)
    assert poller.join() is Closed


def test_requests_and_errors_call_back_and_can_be_awaited() -> None:
    with pymmio.open_device("sim:nvme") as device:
        assert isinstance(device.handle, SimHandle)
        calls: list[str] = []
        errors = threading.Event()
        device.on_request(lambda: calls.append("request"))
        device.on_error(errors.set)

        async def main() -> int:
            waiting = asyncio.ensure_future(device.irqs.req[0].wait_async(timeout_s=SOON_S))
            await asyncio.sleep(0)
            device.handle.slot.request()  # type: ignore[attr-defined]
            return await waiting

        assert asyncio.run(main()) == 1
        device.handle.slot.report_error()
        assert errors.wait(SOON_S)
        assert calls == ["request"]
        assert device.region(0).read32(8)  # nothing else happened


def test_events_that_the_device_lacks_are_unsupported() -> None:
    with pymmio.open_device("sim:edu") as device:
        with pytest.raises(Unsupported, match="no err interrupts"):
            device.on_error(lambda: None)
    with pytest.raises(Closed):
        device.on_request(lambda: None)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan")])
def test_a_release_needs_time(timeout_s: float) -> None:
    device, _, _ = make_device()
    with device, pytest.raises(BadArgument, match="no time to let go in"):
        device.release_on_request(timeout_s)


# --- unplugged ---------------------------------------------------------------------------


@pytest.mark.parametrize("reads", Reads)
def test_unplugging_with_a_watch_ends_all_waits_in_device_gone(reads: Reads) -> None:
    device, model, handle = make_device()
    release = device.release_on_request(SOON_S)
    waiting = waiters(device)
    if reads is Reads.ONES:  # which is what those wait for that read memory
        waiting = waiting[2:]
    handle.slot.unplug(reads)
    assert {waiter.join() for waiter in waiting} == {DeviceGone}
    release.wait(SOON_S)
    assert model.is_closed
    for call in (lambda: device.region(0), device.reset, lambda: device.irqs.msix[0]):
        with pytest.raises(DeviceGone, match=r"sim:rig is gone: it was removed while"):
            call()


@pytest.mark.parametrize("reads", [Reads.ZEROS, Reads.ONES])
def test_a_wait_for_an_unplugged_device_ends_in_device_gone(reads: Reads) -> None:
    device, _, handle = make_device()
    with device:
        ram, bar, vector = device.region(RAM), device.region(0), device.irqs.msix[0]
        handle.slot.unplug(reads, request=False)
        never = 0xA5
        for call in (
            lambda: ram.wait32(0, mask=0xFF, value=never, timeout_s=0.01),
            lambda: ram.window(8, 8).wait32(0, mask=0xFF, value=never, timeout_s=0.01),
            lambda: bar.wait32(0, mask=0xFF, value=never, timeout_s=0.01),
            lambda: vector.wait(timeout_s=0.01),
            lambda: asyncio.run(vector.wait_async(timeout_s=0.01)),
        ):
            with pytest.raises(DeviceGone, match="sim:rig is gone") as raised:
                call()
            assert isinstance(raised.value.__cause__, DeviceTimeout)
        with pytest.raises(DeviceGone):
            device.check_present()
        with pytest.raises(DeviceGone):
            device.reset()


def test_a_fault_of_an_unplugged_device_is_device_gone_with_the_fault_as_cause() -> None:
    device, _, handle = make_device()
    with device:
        ram, bar = device.region(RAM), device.region(0)
        bell = ram.doorbell(8)
        handle.slot.unplug(Reads.FAULT, request=False)
        for call in (
            lambda: ram.read32(0),
            lambda: ram.write32(0, 1),
            lambda: ram.read_block(0, 64, width=4),
            lambda: ram.write_block(0, bytes(64), width=4),
            lambda: ram.wait32(0, mask=1, value=1, timeout_s=SOON_S),
            lambda: bell.ring(1),
            lambda: bar.read32(0),
            lambda: bar.write32(0, 1),
            lambda: bar.window(0, 8).read8(0),
        ):
            with pytest.raises(DeviceGone) as raised:
                call()
            assert isinstance(raised.value.__cause__, AccessFault)


def test_a_device_that_is_there_is_present() -> None:
    device, _, _ = make_device()
    with device:
        device.check_present()
        with pytest.raises(DeviceTimeout):
            device.region(0).wait32(0, mask=1, value=1, timeout_s=0.0)


# --- switched off, asleep ----------------------------------------------------------------


def test_a_fault_says_whether_memory_is_off_or_the_function_sleeps() -> None:
    device, _, _ = make_device()
    with device:
        bar = device.region(0)
        power = device.config.capability(PowerManagement)
        assert power is not None
        device.config.update_command(off=Command.MEMORY)
        with pytest.raises(AccessFault, match=r"memory decoding is off.*Command\.MEMORY"):
            bar.read32(0)
        device.config.update_command(on=Command.MEMORY)
        bar.read32(0)
        power.set_power_state(PowerState.D3HOT)
        with pytest.raises(AccessFault, match=r"sleeps in D3HOT.*PowerState\.D0") as raised:
            bar.write32(4, 7)
        assert (raised.value.offset, raised.value.width, raised.value.is_write) == (4, 4, True)
        power.set_power_state(PowerState.D0)
        bar.write32(4, 7)


# --- stuck -------------------------------------------------------------------------------


def test_a_reset_that_does_not_come_back_ends_at_its_deadline() -> None:
    device, _, handle = make_device()
    ram, bar, vector = device.region(RAM), device.region(0), device.irqs.msix[0]
    waiting = Waiting(lambda: vector.wait(timeout_s=60))
    with handle.slot.stuck("reset"):
        with pytest.raises(DeviceTimeout, match=r"did not come back within 0\.05 s"):
            device.reset(timeout_s=0.05)
        for call in (
            lambda: ram.read32(0),
            lambda: bar.read32(0),
            lambda: device.region(0),
            device.reset,
            lambda: device.irqs.msix[0],
            lambda: device.on_request(lambda: None),
        ):
            with pytest.raises(DeviceTimeout, match="has not come back from the kernel"):
                call()
        assert waiting.join() is DeviceTimeout
        device.close(timeout_s=SOON_S)
    device.close()


def test_accesses_of_other_threads_wait_for_a_reset_to_end() -> None:
    device, model, handle = make_device()
    with device:
        ram = device.region(RAM)
        values: list[int] = []
        gate = handle.slot.stuck("reset")
        gate.__enter__()
        resetting = threading.Thread(target=device.reset)
        resetting.start()
        deadline = time.monotonic() + SOON_S
        while ram.mapping._state != "paused":
            assert time.monotonic() < deadline
        reader = threading.Thread(target=lambda: values.append(ram.read32(0)))
        poller = threading.Thread(
            target=lambda: values.append(ram.wait32(0, mask=1, value=0, timeout_s=SOON_S))
        )
        reader.start()
        poller.start()
        reader.join(0.05)
        assert reader.is_alive()
        gate.__exit__(None, None, None)
        for thread in (resetting, reader, poller):
            thread.join(SOON_S)
            assert not thread.is_alive()
        assert values == [0, 0]
        assert model.resets == 1


def test_a_reset_that_fails_leaves_a_device_that_works() -> None:
    device, model, _ = make_device()

    def refuse() -> None:
        raise Unsupported("no way to reset it")

    with device:
        model.reset = refuse  # type: ignore[method-assign]
        with pytest.raises(Unsupported, match="no way"):
            device.reset()
        assert device.region(RAM).read32(0) == 0


def test_a_close_that_does_not_come_back_ends_at_its_deadline() -> None:
    device, model, handle = make_device()
    with handle.slot.stuck("close"):
        with pytest.raises(DeviceTimeout, match=r"not closed after 0\.05 s.*giving it back"):
            device.close(timeout_s=0.05)
        assert not model.is_closed
        with pytest.raises(Closed):
            device.region(0)
    device.close(timeout_s=SOON_S)
    assert model.is_closed


def test_closing_in_the_callback_itself_is_fine() -> None:
    device, model, handle = make_device()
    done = threading.Event()

    def close() -> None:
        device.close()
        done.set()

    device.on_request(close)
    handle.slot.request()
    assert done.wait(SOON_S)
    assert model.is_closed


def test_the_callback_of_a_release_may_close_the_device(reported: list[BaseException]) -> None:
    device, model, handle = make_device()
    release = device.release_on_request(SOON_S, device.close)
    thread = device._events._thread
    handle.slot.request()
    release.wait(SOON_S)
    thread.join(SOON_S)
    assert model.is_closed
    assert not reported


def test_all_regions_end_with_the_device_whatever_their_rule() -> None:
    device, _, handle = make_device()
    release = device.release_on_request(SOON_S)
    first = device.region(RAM)
    second = device.region(RAM, rule=AccessRule(widths=frozenset({4})))
    handle.slot.request()
    release.wait(SOON_S)
    for region in (first, second):
        with pytest.raises(Closed):
            region.read32(0)
