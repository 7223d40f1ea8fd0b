"""What a device does for its trace: nothing at all while there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from pymmio.backend.handle_config import HandleConfig
from pymmio.dma import DmaSpace
from pymmio.dma.shadow import ShadowedDma, traced_dma
from pymmio.dma.traced import TracedDma
from pymmio.errors import PymmioError, Unsupported
from pymmio.handle import CONFIG_REGION, DeviceHandle, DmaHandle, IrqHandle, IrqKind
from pymmio.irq import TracedIrq
from pymmio.mmio import RecordedRegion, Region, TracedRegion
from pymmio.regs import RegisterFile
from pymmio.trace import (
    DeviceFacts,
    EventSink,
    FieldName,
    LifeEvent,
    RecordingSink,
    RegionFacts,
    RegisterName,
    RegisterNames,
    Sink,
)
from pymmio.trace.everywhere import sink_for
from pymmio.uri import DeviceUri

__all__ = ["DeviceTrace"]

_HEADER = 64

_COMMAND = (
    FieldName("io", 0, 0),
    FieldName("memory", 1, 1),
    FieldName("bus_master", 2, 2),
    FieldName("intx_disable", 10, 10),
)
_CONFIG_NAMES = RegisterNames(  # PCI Local Bus 3.0 §6.1
    [
        RegisterName("VENDOR_ID", 0x00, 2),
        RegisterName("DEVICE_ID", 0x02, 2),
        RegisterName("COMMAND", 0x04, 2, _COMMAND),
        RegisterName("STATUS", 0x06, 2),
        RegisterName("CLASS_REVISION", 0x08, 4),
        RegisterName("HEADER_TYPE", 0x0E, 1),
        RegisterName("BAR", 0x10, 4, count=6, stride=4, is_array=True),
        RegisterName("SUBSYSTEM_VENDOR_ID", 0x2C, 2),
        RegisterName("SUBSYSTEM_ID", 0x2E, 2),
        RegisterName("ROM", 0x30, 4),
        RegisterName("CAPABILITIES", 0x34, 1),
        RegisterName("INTERRUPT_LINE", 0x3C, 1),
        RegisterName("INTERRUPT_PIN", 0x3D, 1),
    ]
)


class DeviceTrace:
    """No trace: hands on what it gets.  :meth:`of` makes one for a sink."""

    @staticmethod
    def of(
        sink: Sink | None, uri: DeviceUri, handle: DeviceHandle, shared_dma: DmaSpace | None
    ) -> DeviceTrace:
        """Return what suits ``sink``.

        Raises Unsupported where one of two devices that share memory is recorded.
        """
        if shared_dma is not None and isinstance(shared_dma._handle, ShadowedDma):
            raise Unsupported(
                f"{shared_dma.name} is recorded: no other device can share its memory",
                hint="Trace it with another sink, or open this device without share_dma_with",
            )
        if sink is None:
            sink = sink_for(str(uri))
        if sink is None:
            return DeviceTrace()
        if not isinstance(sink, EventSink):
            return _AccessTrace(sink)
        if sink.is_recording and shared_dma is not None:
            raise Unsupported(
                f"{handle.name} shares DMA memory with another device: this cannot be recorded",
                hint="Trace it with another sink, or open it without share_dma_with",
            )
        return _FullTrace(sink, uri, handle)

    def region(self, index: int, region: Region) -> Region:
        """Return what stands in front of a region."""
        return region

    def dma(self, handle: DmaHandle) -> DmaHandle:
        """Return what stands in front of the backend's DMA."""
        return handle

    def irq(self, handle: IrqHandle) -> IrqHandle:
        """Return what stands in front of the backend's interrupts."""
        return handle

    def name_registers(self, index: int, registers: type[RegisterFile] | Mapping[int, str]) -> None:
        """Hand on names."""

    def alone(self) -> AbstractContextManager[object]:
        """Keep other threads from accesses where these are put in order, for a reset."""
        return nullcontext()

    def was_reset(self, error: str | None = None) -> None:
        """Report a reset, or why there was none."""

    def was_gone(self) -> None:
        """Report that the backend said that the device has left."""

    def close(self) -> None:
        """Report that the device is closed."""


class _AccessTrace(DeviceTrace):
    """For sinks that are functions: accesses and nothing else."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def region(self, index: int, region: Region) -> Region:
        return TracedRegion(region, self._sink, index=index)


class _FullTrace(DeviceTrace):
    """For an EventSink."""

    def __init__(self, sink: EventSink, uri: DeviceUri, handle: DeviceHandle) -> None:
        self._sink = sink
        self._undo = ExitStack()
        self._is_open = True
        self._is_gone = False
        sink.begin(_facts(uri, handle))
        sink.name_registers(CONFIG_REGION, _CONFIG_NAMES)
        self._note("open")

    def region(self, index: int, region: Region) -> Region:
        if isinstance(self._sink, RecordingSink):
            return RecordedRegion(region, self._sink, index=index)
        return TracedRegion(region, self._sink, index=index)

    def dma(self, handle: DmaHandle) -> DmaHandle:
        traced = traced_dma(handle, self._sink)
        if isinstance(traced, TracedDma):
            self._undo.callback(traced.close)
        return traced

    def irq(self, handle: IrqHandle) -> IrqHandle:
        traced = TracedIrq(handle, self._sink)
        self._undo.callback(traced.close)
        return traced

    def name_registers(self, index: int, registers: type[RegisterFile] | Mapping[int, str]) -> None:
        self._sink.name_registers(index, RegisterNames.of(registers))

    def alone(self) -> AbstractContextManager[object]:
        return self._sink.alone()

    def was_reset(self, error: str | None = None) -> None:
        self._note("reset", error)

    def was_gone(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._note("gone")

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._undo.close()
            self._note("close")
            self._sink.end()

    def _note(self, kind: str, error: str | None = None) -> None:
        with self._sink.lock:
            event = LifeEvent(time.monotonic_ns(), kind, error, threading.get_native_id())
            self._sink.note(event)


def _facts(uri: DeviceUri, handle: DeviceHandle) -> DeviceFacts:
    config = HandleConfig(handle.open_region(CONFIG_REGION))
    words = [config.read32(at) for at in range(0, _HEADER, 4)]
    header = b"".join(word.to_bytes(4, "little") for word in words)
    ids = {
        "vendor_id": words[0] & 0xFFFF,
        "device_id": words[0] >> 16,
        "class_code": words[2] >> 8,
        "revision_id": words[2] & 0xFF,
        "subsystem_vendor_id": words[11] & 0xFFFF,
        "subsystem_id": words[11] >> 16,
    }
    regions = tuple(
        RegionFacts(
            info.index, info.name, info.size, info.readable, info.writable, info.is_pci,
            info.is_ram,
        )
        for info in handle.region_infos()
    )  # fmt: skip
    try:
        ranges = tuple((one.first, one.last) for one in handle.dma.iova_ranges)
        page_size, most = handle.dma.page_size, handle.dma.max_mappings
    except PymmioError:  # a backend without DMA
        ranges, page_size, most = (), 4096, 0
    return DeviceFacts(
        uri=str(uri),
        name=handle.name,
        library=_version(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        ids=ids,
        regions=regions,
        config=header,
        irqs={str(kind): handle.irq.count(kind) for kind in IrqKind},
        iova_ranges=ranges,
        page_size=page_size,
        max_mappings=most,
    )


def _version() -> str:
    try:
        return version("pymmio")
    except PackageNotFoundError:  # run from a tree that is not installed
        return ""
