"""The file format: JSON, an object a line; first the header, then events in their order.

Version 1.  The header is ``{"pymmio": "trace", "version": 1, "recording": bool, "device": {…}}``.
Every further object has a ``kind``: that of the event, "names" for names of registers, or "end"
with the number of events that were lost to a limit.  Numbers are JSON numbers, except values of
registers and addresses: these are text in hexadecimal, as 64 bits do not fit everybody's.
Long memory is packed: ``packed`` is zlib's format in base 64, ``size`` what it holds.
``pymmio.trace.reading`` reads what is written here.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping

from pymmio.trace.events import AccessEvent, DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from pymmio.trace.facts import DeviceFacts, RegionFacts
from pymmio.trace.names import RegisterNames

__all__ = ["LONGEST_DATA", "LONGEST_LINE", "VERSION", "header_line", "line_of", "names_line"]

VERSION = 1
LONGEST_LINE = 1 << 22
LONGEST_DATA = 1 << 16
"""Bytes of one MemoryEvent; who writes cuts longer ones into several."""

_HEX_LIMIT = 32


def header_line(device: DeviceFacts, *, recording: bool) -> str:
    """Return the first line of a file."""
    about: dict[str, object] = {
        "uri": device.uri,
        "name": device.name,
        "library": device.library,
        "started": device.started,
        "ids": dict(device.ids),
        "regions": [_region_fields(region) for region in device.regions],
        "config": device.config.hex(),
        "irqs": dict(device.irqs),
        "iova_ranges": [[hex(first), hex(last)] for first, last in device.iova_ranges],
        "page_size": device.page_size,
        "max_mappings": device.max_mappings,
    }
    head = {"pymmio": "trace", "version": VERSION, "recording": recording, "device": about}
    return json.dumps(head)


def _region_fields(region: RegionFacts) -> dict[str, object]:
    return {name: getattr(region, name) for name in RegionFacts.__dataclass_fields__}


def names_line(index: int, names: RegisterNames) -> str:
    """Return a line with the names of the registers of a region."""
    registers = [
        {
            "name": one.name,
            "offset": one.offset,
            "size": one.size,
            "count": one.count,
            "stride": one.stride,
            "is_array": one.is_array,
            "fields": [[f.name, f.low, f.high, [list(x) for x in f.labels]] for f in one.fields],
        }
        for one in names.registers
    ]
    return json.dumps({"kind": "names", "index": index, "registers": registers})


def line_of(event: Event, region_names: Mapping[int, str] | None = None) -> str:
    """Return an event as a line of JSON, without the line break.

    A region's name is left out where it is the one in ``region_names``.
    """
    out: dict[str, object] = {"kind": event.kind, "time_ns": event.time_ns, "thread": event.thread}
    match event:
        case AccessEvent():
            _put_access(out, event, region_names or {})
        case DmaEvent():
            out |= {"iova": hex(event.iova), "size": event.size}
        case MemoryEvent():
            out["iova"] = hex(event.iova)
            _put_data(out, event.data)
        case IrqEvent():
            out |= {"irq": event.irq, "vector": event.vector, "count": event.count}
            if event.without:
                out["without"] = list(event.without)
        case LifeEvent():
            if event.error is not None:
                out["error"] = event.error
    return json.dumps(out)


def _put_access(out: dict[str, object], event: AccessEvent, known: Mapping[int, str]) -> None:
    if event.index is not None:
        out["index"] = event.index
    if event.index is None or known.get(event.index) != event.region:
        out["region"] = event.region
    out |= {"offset": event.offset, "width": event.width}
    if event.value is not None:
        out["value"] = hex(event.value)
    for name, usual in (("size", 0), ("base", 0), ("duration_ns", 0), ("count", 1)):
        value = getattr(event, name)
        if value != usual:
            out[name] = value
    if event.error is not None:
        out["error"] = event.error


def _put_data(out: dict[str, object], data: bytes) -> None:
    if len(data) > _HEX_LIMIT:
        packed = base64.b64encode(zlib.compress(data)).decode()
        if len(packed) < 2 * len(data):
            out |= {"packed": packed, "size": len(data)}
            return
    out["data"] = data.hex()
