"""The process in which subjects run: ``python -m pymmio.check.accessors.worker``.

Reads one job as JSON from standard input, prints a line of JSON for each step.  It only observes;
decoding and judging is left to the process that started it, which survives what happens here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from pymmio.check.accessors._recorder import ffi, lib
from pymmio.check.accessors.place import LINE, Place
from pymmio.check.accessors.subjects import (
    Functions,
    Subject,
    from_callable,
    from_symbol,
    subject_named,
)

OFFSETS = (0x10, 0x48, 0x200)
"""Where accesses are recorded; aligned for every width."""
ENOUGH_CHANGES = 1000
PATIENCE_S = 10.0
_REPORT = sys.stdout


class FaultRecorder:
    """Records by taking the rights of the memory away; see recorder.h."""

    def record(self, place: Place, call: Callable[[], Any]) -> list[dict[str, Any]]:
        """Return the accesses that ``call`` makes to the place, as they were executed."""
        base = ffi.cast("void *", place.address)
        if error := lib.pm_recorder_start(base, place.size):
            raise OSError(error, f"cannot record: {os.strerror(error)}")
        try:
            call()
        finally:
            count = lib.pm_recorder_stop()
        if count < 0:
            raise OverflowError("more accesses than the log holds")
        log = lib.pm_recorder_log()
        return [
            {
                "offset": int(log[i].address) - place.address,
                "write": int(log[i].is_write),
                "code": bytes(ffi.buffer(log[i].code, log[i].code_size)).hex(),
                **_place_in_file(int(log[i].pc)),
            }
            for i in range(count)
        ]


def _place_in_file(pc: int) -> dict[str, Any]:
    """Return the file that an instruction is from and where it is there."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            area, _, offset, _, _, *path = line.split()
            start, _, end = area.partition("-")
            if path and int(start, 16) <= pc < int(end, 16):
                return {"file": path[0], "file_offset": pc - int(start, 16) + int(offset, 16)}
    return {}


class MarkRecorder:
    """Leaves marks for a recorder outside (an emulator); see qemu_plugin.c."""

    def __init__(self, marks: int) -> None:
        flags = lib.MAP_SHARED | 0x20  # MAP_ANONYMOUS
        prot = lib.PROT_READ | lib.PROT_WRITE
        page = lib.mmap(ffi.cast("void *", marks), 4096, prot, flags, -1, 0)
        if int(ffi.cast("uintptr_t", page)) != marks:
            raise OSError(f"no memory to be had at {marks:#x}")
        self._page = ffi.cast("uint8_t *", page)

    def _mark(self, offset: int) -> None:
        lib.pm_mark(self._page + offset)

    def record(self, place: Place, call: Callable[[], Any]) -> list[dict[str, Any]]:
        """Say where the place is and when the call begins and ends; what it did is seen there."""
        for digit in range(16):
            self._mark(0x100 + 16 * digit + (place.address >> 4 * digit & 15))
        self._mark(0)
        try:
            call()
        finally:
            self._mark(1)
        return []


def main() -> int:
    """Run one job."""
    job = json.loads(sys.stdin.readline())
    recorder: FaultRecorder | MarkRecorder | None = None
    sys.path.insert(0, os.getcwd())
    if job["recorder"] == "fault":
        recorder = FaultRecorder()
    elif job["recorder"] == "marks":
        recorder = MarkRecorder(job["marks"])
    for number, case in enumerate(job["cases"]):
        _say({"begin": number})
        _say({"end": number, **_run(case, recorder, job["tearing_s"])})
    return 0


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), file=_REPORT, flush=True)


def _run(
    case: dict[str, Any], recorder: FaultRecorder | MarkRecorder | None, tearing_s: float
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    width, direction = case["width"], case["direction"]
    try:
        subject = _subject(case)
        place = Place()
        functions = subject.make(place, width)
        if (functions.read if direction == "read" else functions.write) is None:
            raise LookupError(f"cannot {direction}")
        _call(functions, direction, OFFSETS[0], 1)()  # what is loaded late is loaded now
    except Exception as error:
        return {"error": str(error) or type(error).__name__}
    if recorder:
        offsets = [LINE - width // 2] if subject.crosses_line else OFFSETS
        try:
            found["recorded"] = [
                {
                    "offset": offset,
                    "touches": recorder.record(place, _call(functions, direction, offset, 0x5A)),
                }
                for offset in offsets
            ]
        except Exception as error:
            found["record_error"] = f"while it was recorded: {error}"
    if tearing_s and width in (2, 4, 8):
        try:
            found["tearing"] = _tear(subject, functions, place, width, direction, tearing_s)
        except Exception as error:
            found["tearing_error"] = str(error)
    return found


def _subject(case: dict[str, Any]) -> Subject:
    is_write = case["direction"] == "write"
    if "callable" in case:
        return from_callable(case["callable"], is_write=is_write)
    if "symbol" in case:
        return from_symbol(case["object"], case["symbol"], is_write=is_write)
    return subject_named(case["subject"])


def _call(functions: Functions, direction: str, offset: int, value: int) -> Callable[[], Any]:
    if direction == "read":
        read = functions.read
        assert read is not None
        return lambda: read(offset)
    write = functions.write
    assert write is not None
    return lambda: write(offset, value)


def _tear(
    subject: Subject, functions: Functions, place: Place, width: int, direction: str, span_s: float
) -> dict[str, int]:
    offset = LINE - width // 2 if subject.crosses_line else LINE
    if direction == "read":
        assert functions.read is not None
        return _tear_reads(functions.read, subject, place, offset, width, span_s)
    assert functions.write is not None
    return _tear_writes(functions.write, subject, place, offset, width, span_s)


def _tear_reads(
    read: Callable[[int], Any],
    subject: Subject,
    place: Place,
    offset: int,
    width: int,
    span_s: float,
) -> dict[str, int]:
    """Read while a thread writes all zeroes and all ones in turn."""
    ones = (1 << 8 * width) - 1
    whole = {0: {0, bytes(width)}, 0xFF: {ones, b"\xff" * width}}
    for byte, values in whole.items():
        place.fill(byte)
        if read(offset) not in values:
            raise ValueError("does not return the value that it reads")
    good = whole[0] | whole[0xFF]
    if error := lib.pm_writer_start(ffi.cast("void *", place.address + offset), width):
        raise OSError(error, os.strerror(error))
    rounds = changes = torn = 0
    last: Any = None
    start = time.monotonic()
    try:
        while not _is_enough(subject, time.monotonic() - start, span_s, changes, torn):
            for _ in range(1000):
                value = read(offset)
                if value != last:
                    changes += 1
                    last = value
                    if value not in good:
                        torn += 1
            rounds += 1000
    finally:
        lib.pm_tearing_stop()
    return {"rounds": rounds, "changes": changes, "torn": torn}


def _tear_writes(
    write: Callable[[int, int], Any],
    subject: Subject,
    place: Place,
    offset: int,
    width: int,
    span_s: float,
) -> dict[str, int]:
    """Write all zeroes and all ones in turn while a thread loads the place, whole."""
    ones = (1 << 8 * width) - 1
    write(offset, 0)
    start = time.monotonic()
    rounds = changes = torn = 0
    while not _is_enough(subject, time.monotonic() - start, span_s, changes, torn):
        if error := lib.pm_observer_start(ffi.cast("void *", place.address + offset), width):
            raise OSError(error, os.strerror(error))
        try:
            for _ in range(10_000):
                write(offset, 0)
                write(offset, ones)
        finally:
            seen = lib.pm_tearing_stop()
        rounds, changes, torn = (
            rounds + 20_000,
            changes + int(seen.changes),
            torn + int(seen.torn),
        )
    return {"rounds": rounds, "changes": changes, "torn": torn}


def _is_enough(subject: Subject, passed_s: float, span_s: float, changes: int, torn: int) -> bool:
    if passed_s > PATIENCE_S:
        return True
    is_seen = torn > 0 or not subject.is_torn
    return passed_s >= span_s and changes >= ENOUGH_CHANGES and is_seen


if __name__ == "__main__":
    sys.exit(main())
