"""Read a trace.  What stands in a file is hostile: all of it is checked."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, BinaryIO, TypeVar

from pymmio.errors import PymmioError, TraceFileError
from pymmio.trace import checks
from pymmio.trace.checks import WORD
from pymmio.trace.events import AccessEvent, DmaEvent, Event, IrqEvent, LifeEvent, MemoryEvent
from pymmio.trace.facts import DeviceFacts, RegionFacts
from pymmio.trace.lines import LONGEST_DATA, LONGEST_LINE, VERSION
from pymmio.trace.names import FieldName, RegisterName, RegisterNames

__all__ = ["TraceFile", "event_of", "read", "read_trace"]

T = TypeVar("T")

_ACCESS_KINDS = ("read", "write", "wait", "block", "poll")
_LIFE_KINDS = ("open", "close", "reset", "gone", "view")


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
            found.lost = with_place.checked(lambda f: checks.number(f, "lost", 0), fields)
            found.is_complete = True
        else:
            found.events.append(with_place.checked(lambda f: event_of(f, names), fields))  # noqa: B023
            found.lines.append(number)
    if found is None:
        raise TraceFileError(
            f"{name} is empty", line=number, hint="Record again; the header is written at once"
        )
    return found


def read_trace(path: str | PathLike[str]) -> TraceFile:
    """Read the file at ``path``; raises OSError and what :func:`read` raises."""
    with open(path, "rb") as file:
        return read(file, str(path))


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


def event_of(fields: Mapping[str, Any], region_names: Mapping[int, str] | None = None) -> Event:
    """Return the event that a line's object describes.  Raises TraceFileError (with line 0)."""
    kind = fields.get("kind")
    time_ns = checks.number(fields, "time_ns", -(1 << 63), (1 << 63) - 1)
    thread = checks.number(fields, "thread", 0)
    match kind:
        case str() if kind in _ACCESS_KINDS:
            return _access(fields, kind, time_ns, thread, region_names or {})
        case "map" | "unmap":
            iova, size = checks.address(fields, "iova"), checks.number(fields, "size", 1)
            if iova + size > WORD:
                raise checks.bad("the memory ends behind the last address")
            return DmaEvent(time_ns, kind, iova, size, thread)
        case "memory":
            return MemoryEvent(time_ns, checks.address(fields, "iova"), _data(fields), thread)
        case "irq-on" | "irq-off" | "irq" | "unmask":
            without = checks.items(fields, "without") if "without" in fields else []
            if not all(isinstance(one, int) and 0 <= one < 65536 for one in without):
                raise checks.bad("'without' should hold numbers of vectors")
            return IrqEvent(
                time_ns,
                kind,
                checks.text(fields, "irq", 16),
                checks.number(fields, "vector", 0, 65535),
                checks.number(fields, "count", 0),
                tuple(without),
                thread,
            )
        case str() if kind in _LIFE_KINDS:
            return LifeEvent(time_ns, kind, _error(fields), thread)
    raise checks.bad(f"the kind {checks.shown(kind)} is not known")


def _error(fields: Mapping[str, Any]) -> str | None:
    return checks.text(fields, "error", 1 << 16) if "error" in fields else None


def _access(
    fields: Mapping[str, Any], kind: str, time_ns: int, thread: int, known: Mapping[int, str]
) -> AccessEvent:
    index = checks.number(fields, "index", 0, 255) if "index" in fields else None
    usual = None if index is None else known.get(index)
    region = checks.text(fields, "region") if usual is None or "region" in fields else usual
    width = checks.number(fields, "width", 1, 8)
    if width not in (1, 2, 4, 8):
        raise checks.bad(f"'width' is {width}, and should be 1, 2, 4 or 8")
    return AccessEvent(
        time_ns,
        region,
        kind,
        # an access that was refused may have any offset
        checks.number(fields, "offset", -WORD),
        width,
        checks.address(fields, "value", 1 << 8 * width) if "value" in fields else None,
        checks.optional(checks.number, fields, "size", 0, 0),
        _error(fields),
        thread,
        index,
        checks.optional(checks.number, fields, "base", 0, 0),
        checks.optional(checks.number, fields, "duration_ns", 0, 0),
        checks.optional(checks.number, fields, "count", 1, 1),
    )


def _data(fields: Mapping[str, Any]) -> bytes:
    if "packed" not in fields:
        return checks.octets(fields, "data", LONGEST_DATA)
    size = checks.number(fields, "size", 0, LONGEST_DATA)
    try:
        packed = base64.b64decode(checks.text(fields, "packed", LONGEST_LINE), validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise checks.bad(f"'packed' cannot be unpacked: {error}") from None
    if len(data) != size or not unpacker.eof:
        raise checks.bad(f"'packed' should hold {size} bytes")
    return data


def _header(fields: dict[str, Any]) -> TraceFile:
    if fields.get("pymmio") != "trace":
        raise checks.bad("no header of a trace")
    version = checks.number(fields, "version", 0)
    if version != VERSION:
        raise checks.bad(f"version {version} of the format, and this pymmio reads {VERSION}")
    about = fields.get("device")
    if not isinstance(about, dict):
        raise checks.bad("the header has no 'device'")
    device = DeviceFacts(
        checks.text(about, "uri"),
        checks.text(about, "name"),
        checks.text(about, "library"),
        checks.text(about, "started"),
        checks.numbers(about, "ids"),
        tuple(_region(one) for one in checks.items(about, "regions", 256)),
        checks.octets(about, "config", 4096),
        checks.numbers(about, "irqs"),
        tuple(_range(one) for one in checks.items(about, "iova_ranges", 1024)),
        checks.number(about, "page_size", 1, 1 << 40),
        checks.number(about, "max_mappings", 0),
    )
    return TraceFile(device, checks.flag(fields, "recording"))


def _region(one: object) -> RegionFacts:
    if not isinstance(one, dict):
        raise checks.bad("a region should be an object")
    return RegionFacts(
        checks.number(one, "index", 0, 255),
        checks.text(one, "name", 256),
        checks.number(one, "size", 1),
        *(checks.flag(one, name) for name in ("readable", "writable", "is_pci", "is_ram")),
    )


def _range(one: object) -> tuple[int, int]:
    if not isinstance(one, list) or len(one) != 2:
        raise checks.bad("a range of addresses should have two ends")
    first, last = (checks.address_of(end, "iova_ranges") for end in one)
    if last < first:
        raise checks.bad("a range of addresses ends before it starts")
    return first, last


def _names(fields: dict[str, Any]) -> tuple[int, RegisterNames]:
    registers = []
    for one in checks.items(fields, "registers"):
        if not isinstance(one, dict):
            raise checks.bad("a register should be an object")
        registers.append(
            RegisterName(
                checks.text(one, "name", 256),
                checks.number(one, "offset", 0),
                checks.number(one, "size", 1, 64),
                tuple(_field(each) for each in checks.items(one, "fields", 512)),
                checks.number(one, "count", 1),
                checks.number(one, "stride", 0),
                checks.flag(one, "is_array"),
            )
        )
    return checks.number(fields, "index", 0, 255), RegisterNames(registers)


def _field(one: object) -> FieldName:
    if not isinstance(one, list) or len(one) != 4 or not isinstance(one[3], list):
        raise checks.bad("a field should have a name, two bits, and labels")
    parts = {"name": one[0], "low": one[1], "high": one[2]}
    labels = []
    for label in one[3]:
        if not isinstance(label, list) or len(label) != 2:
            raise checks.bad("a label should have a value and a name")
        both = {"value": label[0], "name": label[1]}
        labels.append((checks.number(both, "value", 0), checks.text(both, "name", 256)))
    low = checks.number(parts, "low", 0, 511)
    return FieldName(
        checks.text(parts, "name", 256), low, checks.number(parts, "high", low, 511), tuple(labels)
    )
