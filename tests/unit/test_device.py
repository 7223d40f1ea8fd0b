"""Device: opening and closing undo everything, in the safe order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

import pymmio
from pymmio.backend.sim import SimHandle
from pymmio.device import Device
from pymmio.errors import (
    Closed,
    DeviceBusy,
    DeviceNotFound,
    ForkedObject,
    PymmioError,
    Unsupported,
    UriError,
    WidthRefused,
)
from pymmio.handle import CONFIG_REGION, IrqKind
from pymmio.mmio import AccessRule
from pymmio.pci import Command
from pymmio.trace import DmaEvent, EventRing, IrqEvent, LifeEvent, MemoryEvent, RingSink
from pymmio.uri import DeviceUri
from tests.children import in_forked_child
from tests.unit.backend.sim.rig import Rig, make_device


def test_the_same_region_object_comes_again() -> None:
    device, _, _ = make_device()
    with device:
        assert device.region(0) is device.region(0)
        rule = AccessRule(widths=frozenset({4}))
        assert device.region(0, rule=rule) is device.region(
            0, rule=AccessRule(widths=frozenset({4}))
        )
        with pytest.raises(WidthRefused):
            device.region(0, rule=rule).read8(0)
        device.region(0).read8(0)


def test_a_region_that_does_not_exist_says_which_do() -> None:
    device, _, _ = make_device()
    with device:
        with pytest.raises(DeviceNotFound, match=r"0 \(BAR0\), 2 \(BAR2\), 7 \(config\)"):
            device.region(1)
        assert sorted(device.regions) == [0, 2, CONFIG_REGION]


def test_configuration_space_takes_at_most_32_bits() -> None:
    device, _, _ = make_device()
    with device, pytest.raises(WidthRefused):
        device.region(CONFIG_REGION).read64(0)


def test_an_unknown_way_or_scheme_is_refused() -> None:
    with pytest.raises(Unsupported, match="Choose from"):
        pymmio.open_device("sim:edu", access="magic")
    with pytest.raises(UriError, match=r"Backends are .*sim, .*vfio"):
        pymmio.open_device("nonsense:edu")
    with pytest.raises(Unsupported, match="cannot be reached by access='mapped'"):
        pymmio.open_device("sim:edu", access="mapped").region(0)


def test_a_trace_sees_registers_and_configuration_space() -> None:
    sink = RingSink()
    with pymmio.open_device("sim:edu", trace=sink) as device:
        device.region(0).read32(0)
    events = [(e.region, e.kind, e.offset, e.value) for e in sink.events]
    assert ("sim:edu BAR0", "read", 0, 0x010000ED) in events
    assert any(region == "sim:edu config" for region, *_ in events)


class _Steps:
    """Wraps a handle; the call number ``fail_at`` raises."""

    def __init__(self, handle: SimHandle, fail_at: int) -> None:
        self._handle = handle
        self._left = fail_at
        self.is_closed = False

    def __getattr__(self, name: str) -> object:
        value = getattr(self._handle, name)
        if not callable(value):
            return value

        def call(*arguments: object) -> object:
            self._left -= 1
            if self._left == 0:
                raise OSError(5, f"injected into {name}")
            if name == "close":
                self.is_closed = True
            return value(*arguments)

        return call


@pytest.mark.parametrize("fail_at", [1, 2])  # region_infos() and open_region()
def test_a_failure_while_opening_leaves_nothing_behind(
    fail_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(os.listdir("/proc/self/fd"))
    model = Rig()
    steps = _Steps(SimHandle(model, "sim:rig"), fail_at)
    monkeypatch.setattr("pymmio.device.open_handle", lambda uri: steps)
    with pytest.raises(OSError, match="injected"):
        pymmio.open_device("sim:rig")
    assert steps.is_closed
    assert model.is_closed
    assert set(os.listdir("/proc/self/fd")) == before


def test_tear_down_switches_bus_mastering_off_before_memory_is_taken_away() -> None:
    device, model, handle = make_device()
    order: list[str] = []
    device.enable_bus_master()
    device.dma.alloc(4096)
    device.irqs.msix.enable(1)
    unmap, disable = handle.dma.unmap, handle.irq.disable

    def noting(name: str, call: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: object) -> None:
            order.append(f"{name}, master {'on' if handle.config.is_master_on else 'off'}")
            call(*arguments)

        return wrapped

    handle.dma.unmap = noting("unmap", unmap)  # type: ignore[method-assign]
    handle.irq.disable = noting("irqs", disable)  # type: ignore[method-assign]
    device.close()
    assert order == ["irqs, master off", "unmap, master off"]
    assert model.is_closed


def test_closing_goes_on_after_a_failing_step() -> None:
    device, model, handle = make_device()
    device.dma.alloc(4096)

    def fail(*arguments: object) -> None:
        raise OSError(5, "injected")

    handle.dma.unmap = fail  # type: ignore[method-assign]
    with pytest.raises(PymmioError, match="could not be taken away"):
        device.close()
    assert model.is_closed
    assert device.closed


def test_interrupts_that_cannot_be_switched_off_leave_no_descriptor() -> None:
    device, model, handle = make_device()
    descriptor = device.irqs.msix.enable(2)[1].fileno()

    def fail(*arguments: object) -> None:
        os.fstat(descriptor)  # it may be signalled still
        raise OSError(5, "injected")

    def close() -> None:
        os.fstat(descriptor)
        real_close()
        raise DeviceBusy("busy", hint="none")

    real_close, handle.close = handle.close, close  # type: ignore[method-assign]
    handle.irq.disable = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="injected") as caught:
        device.close()
    assert "busy" in caught.value.__notes__[0]
    assert model.is_closed
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_events_that_cannot_be_switched_off_leave_nothing() -> None:
    device, model, handle = make_device()
    before = set(os.listdir("/proc/self/fd"))
    device.on_request(lambda: None)

    def fail(*arguments: object) -> None:
        raise OSError(5, "injected")

    handle.irq.disable = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="injected"):
        device.close()
    assert model.is_closed
    assert set(os.listdir("/proc/self/fd")) <= before


def test_a_trace_signals_no_descriptor_that_was_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    noting, let_go = threading.Event(), threading.Event()
    reported: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(str(args.exc_value)))

    class Slow(EventRing):
        def note(self, event: DmaEvent | MemoryEvent | IrqEvent | LifeEvent) -> None:
            super().note(event)
            if isinstance(event, IrqEvent) and event.kind == "irq":
                noting.set()
                let_go.wait(0.3)  # not meanwhile

    def fail(*arguments: object) -> None:
        raise OSError(5, "injected")

    def close() -> None:
        handle.irq.trigger(IrqKind.MSI, 0)  # the last one
        assert noting.wait(20)
        real_close()

    def tell() -> None:
        real_let_go()
        let_go.set()

    device = pymmio.open_device("sim:edu", trace=Slow())
    handle = device.handle
    assert isinstance(handle, SimHandle)
    device.irqs.msi.enable(1)
    real_close, real_let_go = handle.close, device.irqs._let_go
    monkeypatch.setattr(handle.irq, "disable", fail)
    monkeypatch.setattr(handle, "close", close)
    monkeypatch.setattr(device.irqs, "_let_go", tell)
    with pytest.raises(OSError, match="injected"):
        device.close()
    assert reported == []


def test_a_forked_child_cannot_use_or_harm_the_parents_device() -> None:
    device, _, handle = make_device()
    buf = device.dma.alloc(4096)

    def child() -> None:
        for call in (
            lambda: device.region(0),
            device.reset,
            device.enable_bus_master,
            lambda: device.dma.alloc(4096),
            lambda: device.irqs.msix[0],
            lambda: device.config.vendor_id,
            lambda: buf.iova,
        ):
            with pytest.raises(ForkedObject):
                call()
        device.close()

    in_forked_child(child)
    assert device.region(0).read8(0) == 0xFE
    device.enable_bus_master()
    assert handle.dma_read(buf.iova, 1) == b"\0"
    device.close()


def test_use_after_close() -> None:
    device = pymmio.open_device("sim:edu")
    bar = device.region(0)
    device.close()
    for call in (lambda: bar.read32(0), device.reset, lambda: device.config.vendor_id):
        with pytest.raises(Closed):
            call()
    assert repr(device) == "<Device sim:edu, closed>"


def test_the_uri_may_be_parsed_already() -> None:
    with pymmio.open_device(DeviceUri.parse("sim:edu")) as device:
        assert isinstance(device, Device)
        assert repr(device) == "<Device sim:edu>"


def test_bus_mastering_is_off_after_a_reset_that_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pymmio.open_device("sim:edu") as device:

        def keep_command() -> None:  # as Linux does it
            device.config.command = Command.MEMORY | Command.BUS_MASTER

        monkeypatch.setattr(device.handle, "reset", keep_command)
        device.enable_bus_master()
        device.reset()
        assert device.config.command & Command.MEMORY
        assert not device.config.command & Command.BUS_MASTER
