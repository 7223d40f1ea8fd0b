"""Sessions of real drivers, recorded and played; and recordings written by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pymmio
from pymmio.trace import AccessEvent, DeviceFacts, Event, RecordingSink, RegionFacts
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from pymmio_drivers.nvme.reaper import InterruptMode

__all__ = ["config", "edu_session", "nvme_session", "poll", "read", "record", "replay", "write"]

PATTERN = bytes(range(256)) * 32


def record(uri: str, path: Path) -> pymmio.Device:
    """Open a device with a recording."""
    return pymmio.open_device(uri, trace=RecordingSink(path))


def replay(path: Path, mode: str = "strict") -> pymmio.Device:
    """Open a recording."""
    return pymmio.open_device(f"sim:replay?file={path}&mode={mode}")


def edu_session(
    device: pymmio.Device, number: int = 5, *, by_interrupt: bool = True
) -> list[object]:
    """Use all that an edu device can do; return what it said."""
    edu = Edu(device)
    found: list[object] = [edu.version, edu.is_alive(), edu.factorial(number)]
    found.append(edu.factorial(6, by_interrupt=by_interrupt))
    with edu.alloc(4096) as memory:
        with memoryview(memory) as view:
            view[:] = PATTERN[:4096]
        edu.copy_in(memory)
        with memoryview(memory) as view:
            view[:] = bytes(4096)
        edu.copy_out(memory[:100], by_interrupt=by_interrupt)
        found.append(bytes(memory[:200]))
    return found


def nvme_session(device: pymmio.Device, interrupts: InterruptMode = "auto") -> list[object]:
    """Identify, write, overwrite the buffer, read back; return what was read."""
    with Controller.open(device, interrupts=interrupts) as controller:
        namespace = controller.namespaces[1]
        found: list[object] = [controller.interrupts, controller.identity.mn, namespace.block_count]
        buffer = controller.alloc(len(PATTERN))
        with memoryview(buffer) as view:
            view[:] = PATTERN
            namespace.write(buffer, lba=3)
            view[:] = bytes(len(PATTERN))  # not what is written: what the program does after it
            namespace.read(buffer, lba=3)
            found.append(bytes(view))
        found.append(namespace.read_bytes(lba=3, blocks=1)[:16])
        namespace.flush()
        future = namespace.read_async(buffer, lba=100)
        future.result()
        found.append(bytes(buffer) == bytes(len(PATTERN)))
    return found


# --- by hand ------------------------------------------------------------------------------

FACTS = DeviceFacts(
    uri="sim:thing",
    name="sim:thing",
    ids={"vendor_id": 0x1AF4, "device_id": 0x10F0, "class_code": 0xFF0000},
    regions=(RegionFacts(0, "BAR0", 4096), RegionFacts(7, "config", 256)),
    config=bytes.fromhex("f41af010") + bytes(60),
    irqs={"msix": 2, "intx": 1},
    iova_ranges=((0, (1 << 32) - 1),),
)


def _access(kind: str, offset: int, value: int | None, **more: object) -> AccessEvent:
    fields = {"time_ns": 0, "width": 4, "index": 0, **more}
    return AccessEvent(region="BAR0", kind=kind, offset=offset, value=value, **fields)  # type: ignore[arg-type]


def read(offset: int, value: int | None, **more: object) -> AccessEvent:
    return _access("read", offset, value, **more)


def write(offset: int, value: int, **more: object) -> AccessEvent:
    return _access("write", offset, value, **more)


def poll(offset: int, value: int, count: int = 1) -> AccessEvent:
    return _access("poll", offset, value, count=count)


def config(kind: str, offset: int, value: int, width: int = 2) -> AccessEvent:
    return _access(kind, offset, value, index=7, width=width)


OPENED = (config("write", 4, 2),)
"""What opening the device does to it: memory on."""


def by_hand(path: Path, events: Iterable[Event], facts: DeviceFacts = FACTS) -> Path:
    """Write a recording."""
    with RecordingSink(path) as sink:
        sink.begin(facts)
        for event in (*OPENED, *events):
            if isinstance(event, AccessEvent):
                sink(replace(event))
            else:
                sink.note(event)
    return path
