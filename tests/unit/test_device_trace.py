"""A device with a trace: everything that happens to it is told, and nothing is left behind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

import pymmio
from pymmio.errors import DeviceNotFound, Unsupported
from pymmio.irq import TracedIrq
from pymmio.mmio import HandleRegion
from pymmio.trace import (
    AccessEvent,
    EventRing,
    JsonLinesSink,
    LifeEvent,
    RecordingSink,
    RegisterNames,
    RingSink,
    every_device,
)
from pymmio.trace.reading import read
from pymmio_drivers.edu import Edu


def use(device: pymmio.Device) -> None:
    edu = Edu(device)
    assert edu.factorial(5, by_interrupt=True) == 120
    with edu.alloc() as memory:
        edu.copy_out(memory, by_interrupt=True)
    device.reset()


def test_without_a_trace_nothing_stands_in_front_of_anything() -> None:
    threads = set(threading.enumerate())
    with pymmio.open_device("sim:edu") as device:
        assert type(device.region(0)) is HandleRegion
        assert device.irqs._handle is device.handle.irq
        assert device.dma._handle is device.handle.dma
        assert set(threading.enumerate()) == threads
        device.name_registers(0, {0: "ID"})


def test_a_function_gets_accesses_and_nothing_else() -> None:
    ring = RingSink()
    with pymmio.open_device("sim:edu", trace=ring) as device:
        use(device)
        assert device.irqs._handle is device.handle.irq
    assert {type(event) for event in ring.events} == {AccessEvent}
    assert {event.index for event in ring.events} == {0, 7}


def test_an_event_sink_gets_the_whole_life() -> None:
    before = set(os.listdir("/proc/self/fd"))
    threads = set(threading.enumerate())
    ring = EventRing()
    with pymmio.open_device("sim:edu", trace=ring) as device:
        use(device)
    kinds = [event.kind for event in ring.story() if not isinstance(event, AccessEvent)]
    assert kinds == [
        "open", "irq-on", "irq", "map", "irq", "unmap", "reset", "irq-off", "close",
    ]  # fmt: skip
    assert set(os.listdir("/proc/self/fd")) == before
    assert set(threading.enumerate()) == threads


def test_events_have_their_threads_and_rising_times() -> None:
    ring = EventRing()
    with pymmio.open_device("sim:edu", trace=ring) as device:
        ring.events.clear()
        thread = threading.Thread(target=device.region(0).read32, args=(0,))
        thread.start()
        thread.join()
        device.region(0).read32(0)
        first, second = ring.events
    assert first.thread != second.thread == threading.get_native_id()
    assert first.time_ns < second.time_ns - second.duration_ns


def test_a_reset_that_fails_is_told_with_its_reason() -> None:
    ring = EventRing()
    with pymmio.open_device("sim:edu", trace=ring) as device:
        device.handle.slot.unplug(request=False)
        with pytest.raises(OSError, match="gone"):
            device.reset()
    reset = next(event for event in ring.notes if event.kind == "reset")
    assert isinstance(reset, LifeEvent)
    assert reset.error is not None
    assert "DeviceGone" in reset.error


class Names(EventRing):
    """Keeps names, too."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[int, list[str]] = {}

    def name_registers(self, index: int, names: RegisterNames) -> None:
        self.names.setdefault(index, []).extend(one.name for one in names.registers)


def test_drivers_name_their_registers() -> None:
    sink = Names()
    with pymmio.open_device("sim:edu", trace=sink) as device:
        Edu(device)
        device.name_registers(0, {0x1000: "SQ0TDBL"})
    assert "DmaCommand" in sink.names[0]
    assert sink.names[0][-1] == "SQ0TDBL"
    assert "COMMAND" in sink.names[7]


def test_a_file_begins_with_the_device(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    with pymmio.open_device("sim:edu", trace=JsonLinesSink(path)):
        pass
    with path.open("rb") as file:
        found = read(file, "trace")
    facts = found.device
    assert (facts.uri, facts.name, facts.library) == ("sim:edu", "sim:edu", pymmio.__version__)
    assert (facts.ids["vendor_id"], facts.ids["device_id"]) == (0x1234, 0x11E8)
    assert facts.config[:4] == b"\x34\x12\xe8\x11"
    assert [(r.index, r.size) for r in facts.regions] == [(0, 1 << 20), (7, 4096)]
    assert facts.irqs["msi"] == 1
    assert facts.iova_ranges
    assert found.is_complete


def test_a_recording_cannot_be_made_of_shared_memory(tmp_path: Path) -> None:
    with pymmio.open_device("sim:edu") as first:
        with pytest.raises(Unsupported, match="shares DMA memory"):
            pymmio.open_device(
                "sim:edu", trace=RecordingSink(tmp_path / "x.jsonl"), share_dma_with=first
            )
    with pymmio.open_device("sim:edu", trace=RecordingSink(tmp_path / "y.jsonl")) as first:
        with pytest.raises(Unsupported, match="sim:edu is recorded"):
            pymmio.open_device("sim:edu", share_dma_with=first)
    with pymmio.open_device("sim:edu", trace=EventRing()) as first:
        with pymmio.open_device("sim:edu", trace=EventRing(), share_dma_with=first) as second:
            assert second.dma is first.dma


def test_a_device_that_cannot_be_opened_ends_its_trace(tmp_path: Path) -> None:
    ring = EventRing()
    with pymmio.open_device("sim:edu", trace=ring) as device:
        with pytest.raises(DeviceNotFound):
            device.region(3)
    assert [event.kind for event in ring.notes] == ["open", "close"]


def test_every_device_is_traced_without_a_word_of_its_own() -> None:
    opened: list[str] = []
    ring, own = EventRing(), EventRing()

    def make(uri: str) -> EventRing:
        opened.append(uri)
        return ring

    with every_device(make):
        with pymmio.open_device("sim:edu") as device:
            assert isinstance(device.irqs._handle, TracedIrq)
        with pymmio.open_device("sim:edu", trace=own):
            pass
        with every_device(lambda uri: None), pymmio.open_device("sim:edu?busy_reads=1"):
            pass
    with pymmio.open_device("sim:edu"):
        pass
    assert opened == ["sim:edu"]
    assert [event.kind for event in ring.notes] == ["open", "close"]
    assert [event.kind for event in own.notes] == ["open", "close"]


def test_accesses_of_threads_while_a_recording_is_made(tmp_path: Path) -> None:
    """One at a time, in one order, with resets in between and no deadlock."""
    path = tmp_path / "session.jsonl"
    with pymmio.open_device("sim:edu", trace=RecordingSink(path)) as device:
        bar = device.region(0)

        def work() -> None:
            for _ in range(50):
                bar.write32(4, 1)
                bar.read32(4)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            device.reset()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    with path.open("rb") as file:
        events = read(file, "session").events
    assert sum(isinstance(e, AccessEvent) and e.index == 0 for e in events) == 300
    assert sum(event.kind == "reset" for event in events) == 5


def test_what_resets_a_device_may_look_at_it_in_another_thread(tmp_path: Path) -> None:
    with pymmio.open_device("sim:edu", trace=RecordingSink(tmp_path / "s.jsonl")) as device:
        inner, seen = device.handle.reset, []

        def reset() -> None:
            seen.append(device.config.vendor_id)
            inner()

        device.handle.reset = reset
        device.reset(timeout_s=60)
        assert seen == [0x1234]


def test_accesses_wait_for_the_end_of_a_reset(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    with pymmio.open_device("sim:edu", trace=RecordingSink(path)) as device:
        bar = device.region(0)
        inner = device.handle.reset
        threads: list[threading.Thread] = []

        def reset() -> None:
            threads.append(threading.Thread(target=bar.read32, args=(0,)))
            threads[0].start()
            inner()

        device.handle.reset = reset
        device.reset()
        threads[0].join(60)
        assert not threads[0].is_alive()
    with path.open("rb") as file:
        kinds = [
            event.kind
            for event in read(file, "s").events
            if event.kind == "reset" or getattr(event, "index", 7) == 0
        ]
    assert kinds == ["reset", "read"]
