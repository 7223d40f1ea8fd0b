"""Run cases one after the other inside a guest; started by the initramfs.

Each case runs in a forked child with its own deadline: its crash or its hang is its own failure
only. Modules are imported once, before the fork, because that is what costs time here.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tests.guest.case import CaseCall, Skip
from tests.guest.explain import explain
from tests.guest.result import Outcome, Result, read_results

EVENT_MARK = "@guest "
SCRATCH = Path("/run/agent")
DUMP_TIMEOUT_S = 0.5
REAP_TIMEOUT_S = 3.0
OUTPUT_LIMIT_BYTES = 64 * 1024


def main(share: Path) -> int:
    """Run the cases of ``share/job.json``; append results to ``share/results.jsonl``.

    After a reboot go on with the case that made it.
    """
    done = read_results(share / "results.jsonl")
    calls = [CaseCall(**fields) for fields in json.loads((share / "job.json").read_text())]
    calls = [call for call in calls if call.id not in done]
    SCRATCH.mkdir(exist_ok=True)
    event("ready", cases=len(calls))
    with (share / "results.jsonl").open("a", buffering=1) as results:
        for call in calls:
            event("start", id=call.id)
            result = run_call(call)
            results.write(result.to_json() + "\n")
            event("result", id=call.id, outcome=result.outcome, seconds=result.seconds)
    event("done")
    return 0


def event(name: str, **fields: object) -> None:
    """Print an event on the console in one write, so that kernel messages do not split it."""
    line = EVENT_MARK + json.dumps({"event": name, **fields}) + "\n"
    os.write(1, line.encode())


def run_call(call: CaseCall) -> Result:
    """Run one call in a child of its own and wait for it, at most until its deadline."""
    started = time.monotonic()
    output, record = SCRATCH / "output", SCRATCH / "record"
    output.write_bytes(b"")
    record.unlink(missing_ok=True)
    try:
        function = getattr(importlib.import_module(call.module), call.function)
    except BaseException as error:
        return Result(call.id, "failed", explain(error))
    pid = os.fork()
    if pid == 0:
        _child(call, function, output, record)
    fault = _wait(pid, call.timeout_s)
    seconds = round(time.monotonic() - started, 3)
    text = _tail(output)
    if fault:
        return Result(call.id, "failed", fault, text, seconds)
    outcome, detail = json.loads(record.read_text())
    return Result(call.id, outcome, detail, text, seconds)


def _child(call: CaseCall, function: Callable[..., None], output: Path, record: Path) -> NoReturn:
    """Run the function with its output in a file, write down how it ended, and exit."""
    os.setsid()
    stdin = os.open(os.devnull, os.O_RDONLY)
    stdout = os.open(output, os.O_WRONLY | os.O_APPEND)
    for target, source in ((0, stdin), (1, stdout), (2, stdout)):
        os.dup2(source, target)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # The agent asks for tracebacks by this signal before it kills.
    faulthandler.register(signal.SIGQUIT, all_threads=True)
    outcome: Outcome
    try:
        function(*([] if call.param is None else [call.param]))
    except Skip as skip:
        outcome, detail = "skipped", str(skip)
    except BaseException as error:
        outcome, detail = "failed", explain(error, call.module)
    else:
        outcome, detail = "passed", ""
    sys.stdout.flush()
    sys.stderr.flush()
    record.write_text(json.dumps([outcome, detail]))
    # Skips atexit and finalisers on purpose: they belong to the agent.
    os._exit(0)


def _wait(pid: int, timeout_s: float) -> str:
    """Wait for the child and end what is left of it; return what was wrong with its end, or ""."""
    pidfd = os.pidfd_open(pid)
    try:
        late = not _has_ended(pidfd, timeout_s)
        if late:
            os.kill(pid, signal.SIGQUIT)
            _has_ended(pidfd, DUMP_TIMEOUT_S)
        _kill_group(pid)
        if not _has_ended(pidfd, REAP_TIMEOUT_S):
            wchan = Path(f"/proc/{pid}/wchan").read_text()
            return (
                f"deadline of {timeout_s:g} s passed and SIGKILL does not end it: it waits in the"
                f" kernel ({wchan}); cases after this one may suffer"
            )
        _, status = os.waitpid(pid, 0)
    finally:
        os.close(pidfd)
    code = os.waitstatus_to_exitcode(status)
    if late:
        return f"deadline of {timeout_s:g} s passed; where it stood is in its output"
    if code < 0:
        return f"ended by signal {signal.Signals(-code).name}"
    return f"ended by itself with status {code}" if code else ""


def _has_ended(pidfd: int, timeout_s: float) -> bool:
    return bool(select.select([pidfd], [], [], timeout_s)[0])


def _kill_group(pid: int) -> None:
    """Kill the child and whatever it started in its own session."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        # The child had not reached setsid: it is alone.
        os.kill(pid, signal.SIGKILL)


def _tail(output: Path) -> str:
    data = output.read_bytes()
    cut = b"[...]\n" if len(data) > OUTPUT_LIMIT_BYTES else b""
    return (cut + data[-OUTPUT_LIMIT_BYTES:]).decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
