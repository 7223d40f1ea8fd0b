"""Sessions on real vfio-pci are recorded, and play without the device."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pymmio
from pymmio.trace import EventRing, RecordingSink
from pymmio.trace.reading import read
from pymmio_drivers.edu import Edu
from pymmio_drivers.nvme import Controller
from tests.guest.case import case
from tests.guest.inside import EDU, NVME, bound_to_vfio
from tests.guest.interfaces import by_interface, uri_of

PATTERN = bytes(range(256)) * 16


def _edu(device: pymmio.Device) -> list[object]:
    edu = Edu(device)
    found: list[object] = [edu.factorial(5), edu.factorial(6, by_interrupt=True)]
    with edu.alloc(4092) as memory:
        with memoryview(memory) as view:
            view[:] = PATTERN[:4092]
        edu.copy_in(memory)
        with memoryview(memory) as view:
            view[:] = bytes(4092)
        edu.copy_out(memory, by_interrupt=True)
        found.append(bytes(memory))
    return found


def _nvme(device: pymmio.Device, interrupts: str | None) -> list[object]:
    with Controller.open(device, interrupts=interrupts) as controller:  # type: ignore[arg-type]
        namespace = controller.namespaces[1]
        found: list[object] = [controller.identity.sn, namespace.block_count]
        buffer = controller.alloc(4096)
        with memoryview(buffer) as view:
            view[:] = PATTERN
            namespace.write(buffer, lba=0)
            view[:] = bytes(4096)
            namespace.read(buffer, lba=0)
        found.append(bytes(buffer))
    return found


@by_interface()
@case(timeout_s=60)
def case_a_session_of_edu_plays() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "session.jsonl"
        with bound_to_vfio(EDU) as function:
            uri = uri_of(function.address)
            with pymmio.open_device(uri, trace=RecordingSink(path)) as device:
                before = _edu(device)
        assert before[2] == PATTERN[:4092]
        for mode in ("strict", "tolerant"):
            with pymmio.open_device(f"sim:replay?file={path}&mode={mode}") as device:
                assert _edu(device) == before, mode


@by_interface()
@case(timeout_s=90, params=("polling", "msix"))
def case_a_session_of_nvme_plays(how: str) -> None:
    interrupts = None if how == "polling" else how
    with TemporaryDirectory() as folder:
        path = Path(folder) / "session.jsonl"
        with bound_to_vfio(NVME) as function:
            uri = uri_of(function.address)
            with pymmio.open_device(uri, trace=RecordingSink(path)) as device:
                before = _nvme(device, interrupts)
        assert before[2] == PATTERN
        with path.open("rb") as file:
            kinds = Counter(event.kind for event in read(file, "session").events)
        assert kinds["memory"] > 3
        assert (kinds["irq"] > 0) is (how == "msix")
        for mode in ("strict", "tolerant"):
            with pymmio.open_device(f"sim:replay?file={path}&mode={mode}") as device:
                assert _nvme(device, interrupts) == before, mode


@by_interface()
@case(timeout_s=60)
def case_a_trace_has_doorbells_and_interrupts_of_a_mapped_device() -> None:
    ring = EventRing()
    with bound_to_vfio(NVME) as function:
        with pymmio.open_device(uri_of(function.address), trace=ring) as device:
            _nvme(device, "msix")
    doorbells = [e for e in ring.events if e.index == 0 and e.position >= 0x1000]
    assert len(doorbells) > 10
    assert {event.kind for event in ring.notes} >= {"open", "irq-on", "irq", "map", "close"}
