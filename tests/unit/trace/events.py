"""Events for tests."""

from __future__ import annotations

from pymmio.trace import (
    AccessEvent,
    DeviceFacts,
    DmaEvent,
    Event,
    IrqEvent,
    LifeEvent,
    MemoryEvent,
    RegionFacts,
)

__all__ = ["FACTS", "STORY", "access"]

FACTS = DeviceFacts(
    uri="sim:thing?size=4K",
    name="sim:thing",
    library="0.1.0",
    started="2026-01-02T03:04:05+00:00",
    ids={
        "vendor_id": 0x1234,
        "device_id": 0x5678,
        "class_code": 0x010802,
        "revision_id": 2,
        "subsystem_vendor_id": 0x1AF4,
        "subsystem_id": 0x1100,
    },
    regions=(RegionFacts(0, "BAR0", 0x4000), RegionFacts(7, "config", 4096, is_pci=False)),
    config=bytes(range(64)),
    irqs={"msix": 4},
    iova_ranges=((0, 0xFEDF_FFFF), (0xFEF0_0000, (1 << 64) - 1)),
)


def access(kind: str, offset: int, value: int | None, **more: object) -> AccessEvent:
    """Return an access of 32 bits to BAR0 of the thing."""
    fields = {"time_ns": 1000, "thread": 7, "index": 0, "size": 4, "duration_ns": 10, **more}
    return AccessEvent(
        region="sim:thing BAR0", kind=kind, offset=offset, width=4, value=value, **fields
    )  # type: ignore[arg-type]


STORY: list[Event] = [
    LifeEvent(1, "open", thread=7),
    access("read", 0x1C, 0xFFFF_FFFF, time_ns=2000),
    access("write", 0x20, 0x11223344, time_ns=3000),
    access("poll", 0x1C, 1, time_ns=4000, count=12),
    access("read", 0x24, None, error="AccessFault: nothing answers", time_ns=5000),
    DmaEvent(6000, "map", 0x1000, 0x2000, 7),
    MemoryEvent(7000, 0x1010, b"abc", 7),
    MemoryEvent(7500, 0x1020, bytes(1000), 7),
    IrqEvent(8000, "irq-on", "msix", 0, 4, (1, 2), 7),
    IrqEvent(9000, "irq", "msix", 3, 2, (), 8),
    IrqEvent(9100, "unmask", "intx", thread=7),
    IrqEvent(9200, "irq-off", "msix", thread=7),
    DmaEvent(9300, "unmap", 0x1000, 0x2000, 7),
    LifeEvent(9400, "reset", "Unsupported: no way", 7),
    LifeEvent(9500, "close", thread=7),
]
