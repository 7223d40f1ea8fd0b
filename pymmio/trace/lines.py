"""The file format: JSON, an object a line; first the header, then events in their order.

Version 1.  The header is ``{"pymmio": "trace", "version": 1, "recording": bool, "device": {…}}``.
Every further object has a ``kind``: that of the event, "names" for names of registers, or "end"
with the number of events that were lost to a limit.  Numbers are JSON numbers, except values of
registers and addresses: these are text in hexadecimal, as 64 bits do not fit everybody's.
What one reads from a file is hostile: all of it is checked, whatever is wrong raises
TraceFileError.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

from pymmio.errors import PymmioError, TraceFileError
from pymmio.trace.events import AccessEvent, DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from pymmio.trace.facts import DeviceFacts, RegionFacts
from pymmio.trace.names import FieldName, RegisterName, RegisterNames

__all__ = ["LONGEST_LINE", "VERSION", "TraceFile", "event_of", "header_line", "line_of", "read"]

VERSION = 1
LONGEST_LINE = 1 << 22
LONGEST_DATA = 1 << 16
"""Bytes of one MemoryEvent; who writes cuts longer ones into several."""

T = TypeVar("T")

_ACCESS_KINDS = ("read", "write", "wait", "block", "poll")
_LIFE_KINDS = ("open", "close", "reset", "view")
_WORD = 1 << 64
_HEX = re.compile("0x[0-9a-f]{1,16}")
_HEX_LIMIT = 32


# --- writing -----------------------------------------------------------------------------


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


# --- reading -----------------------------------------------------------------------------


@dataclass(slots=True)
class TraceFile:
    """What a file says: the device, the events with their lines, names of registers by region."""

    device: DeviceFacts
    is_recording: bool
    events: list[Event] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    names: dict[int, RegisterNames] = field(default_factory=dict)
    lost: int = 0
    is_complete: bool = False
    """Whether the last line says that it is the last: else the program was killed, or writes."""


def read(file: BinaryIO, name: str) -> TraceFile:
    """Read a whole file; ``name`` is for messages.

    A last line without its end is left out: who wrote it was killed, or still writes.  Raises
    TraceFileError with the number of the line.
    """
    number, found = 0, None
    for number, line in _lines(file, name):
        with_place = _Place(name, number)
        fields = with_place.parse(line)
        if found is None:
            found = with_place.checked(_header, fields)
            names = found.device.region_names()
            continue
        if found.is_complete:
            raise with_place.wrong("something stands behind the end")
        kind = fields.get("kind")
        if kind == "names":
            index, table = with_place.checked(_names, fields)
            known = found.names.get(index)
            found.names[index] = table if known is None else known.joined(table)
        elif kind == "end":
            found.lost = with_place.checked(lambda f: _number(f, "lost", 0), fields)
            found.is_complete = True
        else:
            found.events.append(with_place.checked(lambda f: event_of(f, names), fields))  # noqa: B023
            found.lines.append(number)
    if found is None:
        raise TraceFileError(
            f"{name} is empty", line=number, hint="Record again; the header is written at once"
        )
    return found


def _lines(file: BinaryIO, name: str) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise TraceFileError(
                f"{name}, line {number}: longer than {LONGEST_LINE} bytes",
                line=number,
                hint="This is no trace of pymmio",
            )
        if not line.endswith(b"\n") and number > 1:
            return
        if line.strip():
            yield number, line


@dataclass(frozen=True, slots=True)
class _Place:
    """A line, for messages."""

    name: str
    number: int

    def wrong(self, what: str) -> TraceFileError:
        return TraceFileError(
            f"{self.name}, line {self.number}: {what}",
            line=self.number,
            hint="The file was cut or changed, or is no trace of pymmio",
        )

    def parse(self, line: bytes) -> dict[str, Any]:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self.wrong(f"no JSON ({error})") from None
        if not isinstance(fields, dict):
            raise self.wrong("no JSON object")
        return fields

    def checked(self, make: Callable[[dict[str, Any]], T], fields: dict[str, Any]) -> T:
        try:
            return make(fields)
        except PymmioError as error:
            if isinstance(error, TraceFileError):
                raise self.wrong(error.message) from None
            raise


def _bad(what: str) -> TraceFileError:
    return TraceFileError(what, line=0)


def _number(fields: Mapping[str, Any], name: str, low: int, high: int = _WORD - 1) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _bad(f"{name!r} is {_shown(value)}, and should be a number from {low} to {high}")
    return value


def _hex(fields: Mapping[str, Any], name: str, limit: int = _WORD) -> int:
    return _hex_value(fields.get(name), name, limit)


def _hex_value(value: object, name: str, limit: int = _WORD) -> int:
    if isinstance(value, str) and _HEX.fullmatch(value):
        number = int(value, 16)
        if number < limit:
            return number
    raise _bad(f"{name!r} is {_shown(value)}, and should be a number below {limit:#x} as text")


def _text(fields: Mapping[str, Any], name: str, longest: int = 4096) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > longest:
        raise _bad(f"{name!r} is {_shown(value)}, and should be text")
    return value


def _optional(
    read_one: Callable[..., T], fields: Mapping[str, Any], name: str, usual: T, *more: int
) -> T:
    return read_one(fields, name, *more) if name in fields else usual


def _list(fields: Mapping[str, Any], name: str, longest: int = 65536) -> list[Any]:
    value = fields.get(name)
    if not isinstance(value, list) or len(value) > longest:
        raise _bad(f"{name!r} is {_shown(value)}, and should be a list")
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if not isinstance(value, bool):
        raise _bad(f"{name!r} is {_shown(value)}, and should be true or false")
    return value


def event_of(fields: Mapping[str, Any], region_names: Mapping[int, str] | None = None) -> Event:
    """Return the event that a line's object describes.  Raises TraceFileError (with line 0)."""
    kind = fields.get("kind")
    time_ns = _number(fields, "time_ns", -(1 << 63), (1 << 63) - 1)
    thread = _number(fields, "thread", 0)
    match kind:
        case str() if kind in _ACCESS_KINDS:
            return _access(fields, kind, time_ns, thread, region_names or {})
        case "map" | "unmap":
            iova, size = _hex(fields, "iova"), _number(fields, "size", 1)
            if iova + size > _WORD:
                raise _bad("the memory ends behind the last address")
            return DmaEvent(time_ns, kind, iova, size, thread)
        case "memory":
            return MemoryEvent(time_ns, _hex(fields, "iova"), _data(fields), thread)
        case "irq-on" | "irq-off" | "irq" | "unmask":
            without = _list(fields, "without") if "without" in fields else []
            if not all(isinstance(one, int) and 0 <= one < 65536 for one in without):
                raise _bad("'without' should hold numbers of vectors")
            return IrqEvent(
                time_ns,
                kind,
                _text(fields, "irq", 16),
                _number(fields, "vector", 0, 65535),
                _number(fields, "count", 0),
                tuple(without),
                thread,
            )
        case str() if kind in _LIFE_KINDS:
            return LifeEvent(time_ns, kind, _error(fields), thread)
    raise _bad(f"the kind {_shown(kind)} is not known")


def _error(fields: Mapping[str, Any]) -> str | None:
    return _text(fields, "error", 1 << 16) if "error" in fields else None


def _access(
    fields: Mapping[str, Any], kind: str, time_ns: int, thread: int, known: Mapping[int, str]
) -> AccessEvent:
    index = _number(fields, "index", 0, 255) if "index" in fields else None
    usual = None if index is None else known.get(index)
    region = _text(fields, "region") if usual is None or "region" in fields else usual
    width = _number(fields, "width", 1, 8)
    if width not in (1, 2, 4, 8):
        raise _bad(f"'width' is {width}, and should be 1, 2, 4 or 8")
    return AccessEvent(
        time_ns,
        region,
        kind,
        # an access that was refused may have any offset
        _number(fields, "offset", -_WORD),
        width,
        _hex(fields, "value", 1 << 8 * width) if "value" in fields else None,
        _optional(_number, fields, "size", 0, 0),
        _error(fields),
        thread,
        index,
        _optional(_number, fields, "base", 0, 0),
        _optional(_number, fields, "duration_ns", 0, 0),
        _optional(_number, fields, "count", 1, 1),
    )


def _data(fields: Mapping[str, Any]) -> bytes:
    if "packed" not in fields:
        return _bytes(fields, "data", LONGEST_DATA)
    size = _number(fields, "size", 0, LONGEST_DATA)
    try:
        packed = base64.b64decode(_text(fields, "packed", LONGEST_LINE), validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise _bad(f"'packed' cannot be unpacked: {error}") from None
    if len(data) != size or not unpacker.eof:
        raise _bad(f"'packed' should hold {size} bytes")
    return data


def _bytes(fields: Mapping[str, Any], name: str, longest: int) -> bytes:
    try:
        return bytes.fromhex(_text(fields, name, 2 * longest))
    except ValueError:
        raise _bad(f"{name!r} should be hexadecimal digits") from None


def _header(fields: dict[str, Any]) -> TraceFile:
    if fields.get("pymmio") != "trace":
        raise _bad("no header of a trace")
    version = _number(fields, "version", 0)
    if version != VERSION:
        raise _bad(f"version {version} of the format, and this pymmio reads {VERSION}")
    about = fields.get("device")
    if not isinstance(about, dict):
        raise _bad("the header has no 'device'")
    device = DeviceFacts(
        _text(about, "uri"),
        _text(about, "name"),
        _text(about, "library"),
        _text(about, "started"),
        _numbers(about, "ids"),
        tuple(_region(one) for one in _list(about, "regions", 256)),
        _bytes(about, "config", 4096),
        _numbers(about, "irqs"),
        tuple(_range(one) for one in _list(about, "iova_ranges", 1024)),
        _number(about, "page_size", 1, 1 << 40),
        _number(about, "max_mappings", 0),
    )
    return TraceFile(device, _flag(fields, "recording"))


def _numbers(fields: Mapping[str, Any], name: str) -> dict[str, int]:
    found = fields.get(name)
    if not isinstance(found, dict) or len(found) > 64:
        raise _bad(f"{name!r} is {_shown(found)}, and should be an object")
    return {key: _number(found, key, 0) for key in found}


def _region(one: object) -> RegionFacts:
    if not isinstance(one, dict):
        raise _bad("a region should be an object")
    return RegionFacts(
        _number(one, "index", 0, 255),
        _text(one, "name", 256),
        _number(one, "size", 1),
        *(_flag(one, name) for name in ("readable", "writable", "is_pci", "is_ram")),
    )


def _range(one: object) -> tuple[int, int]:
    if not isinstance(one, list) or len(one) != 2:
        raise _bad("a range of addresses should have two ends")
    first, last = (_hex_value(end, "iova_ranges") for end in one)
    if last < first:
        raise _bad("a range of addresses ends before it starts")
    return first, last


def _names(fields: dict[str, Any]) -> tuple[int, RegisterNames]:
    registers = []
    for one in _list(fields, "registers"):
        if not isinstance(one, dict):
            raise _bad("a register should be an object")
        registers.append(
            RegisterName(
                _text(one, "name", 256),
                _number(one, "offset", 0),
                _number(one, "size", 1, 64),
                tuple(_field(each) for each in _list(one, "fields", 512)),
                _number(one, "count", 1),
                _number(one, "stride", 0),
                _flag(one, "is_array"),
            )
        )
    return _number(fields, "index", 0, 255), RegisterNames(registers)


def _field(one: object) -> FieldName:
    if not isinstance(one, list) or len(one) != 4 or not isinstance(one[3], list):
        raise _bad("a field should have a name, two bits, and labels")
    parts = {"name": one[0], "low": one[1], "high": one[2]}
    labels = []
    for label in one[3]:
        if not isinstance(label, list) or len(label) != 2:
            raise _bad("a label should have a value and a name")
        both = {"value": label[0], "name": label[1]}
        labels.append((_number(both, "value", 0), _text(both, "name", 256)))
    low = _number(parts, "low", 0, 511)
    return FieldName(
        _text(parts, "name", 256), low, _number(parts, "high", low, 511), tuple(labels)
    )
