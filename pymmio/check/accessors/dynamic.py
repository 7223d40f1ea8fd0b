"""The dynamic proof: run subjects in a process of their own and judge what was recorded there."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import Signals
from typing import IO, Any

from pymmio.check.accessors import emulator
from pymmio.check.accessors.disassembly import MACHINES
from pymmio.check.accessors.operands import operands_of
from pymmio.check.accessors.tools import ToolMissing
from pymmio.check.accessors.verdict import Direction, Judgement, Touch, Verdict, judge, worst

__all__ = [
    "Case",
    "Observed",
    "Tearing",
    "judge_recorded",
    "machine_of",
    "observe",
    "record_emulated",
]

DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    """One subject, width in bytes and direction, and how the worker finds the subject."""

    subject: str
    width: int
    direction: Direction
    target: dict[str, str] = field(default_factory=dict)

    def as_job(self) -> dict[str, Any]:
        """Return what the worker is told."""
        found = self.target or {"subject": self.subject}
        return {**found, "width": self.width, "direction": self.direction}


@dataclass(frozen=True, slots=True)
class Tearing:
    """What the tearing run saw: accesses made, changes seen, values that were neither."""

    rounds: int
    changes: int
    torn: int


@dataclass(frozen=True, slots=True)
class Observed:
    """What the worker said of a case: recordings, tearing, or why not."""

    recorded: tuple[dict[str, Any], ...] = ()
    tearing: Tearing | None = None
    error: str = ""
    tearing_error: str = ""


def observe(
    cases: Sequence[Case],
    *,
    recorder: str = "fault",
    tearing_s: float = 0.05,
    deadline_s: float = DEADLINE_S,
    progress: Callable[[float], None] | None = None,
) -> list[Observed]:
    """Run ``cases`` in child processes and return what was observed, in the same order.

    A case that kills its process or does not end in ``deadline_s`` is an error of that case; the
    next ones go on in a new process.
    """
    if recorder == "emulator":
        return _observe_emulated(cases, tearing_s, deadline_s, progress)
    return _observe(cases, recorder, tearing_s, deadline_s, progress)


def _observe_emulated(
    cases: Sequence[Case],
    tearing_s: float,
    deadline_s: float,
    progress: Callable[[float], None] | None,
) -> list[Observed]:
    """Record in the emulator; look for torn values on the real processor."""
    torn = _observe(cases, "none", tearing_s, deadline_s, progress)
    try:
        command = emulator.emulator_for(platform.machine())
        with tempfile.TemporaryDirectory(prefix="pymmio-check-") as name:
            folder = Path(name)
            interpreter = [command, sys.executable]
            plugin = emulator.build_plugin(command, [sys.executable, "-I", "-c", ""], folder)
            seen = record_emulated(cases, interpreter, plugin, folder, deadline_s=deadline_s)
    except ToolMissing as error:
        return [replace(one, error=str(error)) for one in torn]
    return [
        replace(one, recorded=recorded.recorded, error=recorded.error)
        for one, recorded in zip(torn, seen, strict=True)
    ]


def record_emulated(
    cases: Sequence[Case],
    interpreter: Sequence[str],
    plugin: Path,
    folder: Path,
    *,
    deadline_s: float = DEADLINE_S,
    cwd: Path | None = None,
) -> list[Observed]:
    """Record ``cases`` in a Python that QEMU's user emulation runs with ``plugin``.

    ``folder`` takes what the plugin writes.
    """
    out = folder / "accesses.txt"
    job = {
        "recorder": "marks",
        "marks": emulator.MARKS,
        "tearing_s": 0,
        "cases": [case.as_job() for case in cases],
    }
    lines, end = _run_worker(
        job,
        deadline_s,
        lambda count: None,
        interpreter=interpreter,
        variables={"QEMU_PLUGIN": emulator.plugin_argument(plugin, out)},
        cwd=cwd,
    )
    recordings = emulator.read_recordings(out) if out.exists() else iter(())
    for line in lines:
        for recording in line.get("recorded", ()):
            recording["touches"] = next(recordings, [])
    seen = [_observed(line) for line in lines]
    return seen + [Observed(error=end)] * (len(cases) - len(seen))


def _observe(
    cases: Sequence[Case],
    recorder: str,
    tearing_s: float,
    deadline_s: float,
    progress: Callable[[float], None] | None,
) -> list[Observed]:
    done: list[Observed] = []
    while len(done) < len(cases):
        job = {
            "recorder": recorder,
            "tearing_s": tearing_s,
            "cases": [case.as_job() for case in cases[len(done) :]],
        }
        first = len(done)

        def share(count: int, first: int = first) -> None:
            if progress:
                progress((first + count) / len(cases))

        lines, end = _run_worker(job, deadline_s, share)
        done += [_observed(line) for line in lines]
        if len(done) < len(cases):
            done.append(Observed(error=end))
    return done


def _run_worker(
    job: dict[str, Any],
    deadline_s: float,
    progress: Callable[[int], None],
    *,
    interpreter: Sequence[str] = (sys.executable,),
    variables: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> tuple[list[dict[str, Any]], str]:
    """Return the lines of the cases that ended, and how the process ended."""
    command = [*interpreter, "-m", "pymmio.check.accessors.worker"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(variables or {})},
            cwd=cwd,
        )
        with process:
            timer = _Deadline(process, deadline_s)
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.close()
            except BrokenPipeError:
                pass
            lines = _ended(process.stdout, timer, progress)
            process.wait()
            timer.cancel()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    if timer.is_over:
        return lines, f"did not end in {deadline_s:g} s"
    if process.returncode < 0:
        return lines, f"was ended by {Signals(-process.returncode).name}"
    return lines, f"ended with {process.returncode}: {said[-1] if said else 'no message'}"


class _Deadline:
    """Ends a process that says nothing for some time."""

    def __init__(self, process: subprocess.Popen[str], deadline_s: float) -> None:
        self._process = process
        self._deadline_s = deadline_s
        self.is_over = False
        self._timer: threading.Timer | None = None
        self.renew()

    def renew(self) -> None:
        self.cancel()
        self._timer = threading.Timer(self._deadline_s, self._end)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        self._process.kill()


def _ended(
    stream: IO[str], timer: _Deadline, progress: Callable[[int], None]
) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for text in stream:
        try:
            line = json.loads(text)
        except ValueError:
            continue  # a subject printed it
        if isinstance(line, dict) and "end" in line:
            lines.append(line)
            timer.renew()
            progress(len(lines))
    return lines


def _observed(line: dict[str, Any]) -> Observed:
    tearing = line.get("tearing")
    return Observed(
        recorded=tuple(line.get("recorded", ())),
        tearing=Tearing(**tearing) if tearing else None,
        error=line.get("error") or line.get("record_error") or "",
        tearing_error=line.get("error") or line.get("tearing_error") or "",
    )


def judge_recorded(machine: str, case: Case, observed: Observed) -> Judgement:
    """Judge what the recorder saw; ``machine`` is the e_machine that the code is of.

    Raises ToolMissing without capstone.
    """
    if observed.error:
        return Judgement(Verdict.UNPROVEN, observed.error)
    judgements = []
    for recording in observed.recorded:
        touches: list[Touch] = []
        for entry in recording["touches"]:
            found = _decode(machine, entry)
            if isinstance(found, str):
                return Judgement(Verdict.UNPROVEN, found)
            touches += found
        judgements.append(judge(touches, recording["offset"], case.width, case.direction))
    return worst(judgements)


def _decode(machine: str, entry: dict[str, Any]) -> list[Touch] | str:
    """Return what one recorded instruction touched, or why that is not known."""
    if "width" in entry:  # the recorder knew it
        direction: Direction = "write" if entry["write"] else "read"
        return [Touch(entry["offset"], entry["width"], direction)]
    decoded = operands_of(machine, bytes.fromhex(entry["code"]))
    if decoded is None:
        return f"not an instruction: {entry['code']}"
    wanted: Direction = "write" if entry["write"] == 1 else "read"
    if not decoded.operands:
        why = f"{decoded.text}: which bytes it touches is not known"
        return why if entry["write"] < 0 else [Touch(entry["offset"], 1, wanted, why)]
    operands = list(decoded.operands)
    if len(operands) > 1 and machine == "EM_X86_64":  # from memory to memory: which faulted?
        operands = [op for op in operands if wanted in op.directions][:1]
    touches = []
    at = entry["offset"]
    for operand in operands:
        touches += [Touch(at, operand.width, direction) for direction in operand.directions]
        at += operand.width  # the second of a pair
    return touches


def machine_of(arch: str) -> str | None:
    """Return the e_machine of an architecture, None if it is not known."""
    return next((name for name, facts in MACHINES.items() if facts.arch == arch), None)
