"""Run the tiers of tests and print the time of each: ``python -m tests.run [TIER ...]``.

Tiers that fit into the machine run side by side; what each printed comes when it has ended, save
what was installed for it, which is told at once.  What failed is told again after the table.
``SIDE_BY_SIDE=0`` in the environment runs them one after the other, and shows all at once.
Ends with 1 if a tier failed, or was skipped under CI=true.  A few tests that fail are run once
more at the end, alone, and the tier says how many passed only then: the machines that this runs
on are shared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import again
from tests.tiers import ROOT, TIERS, Step, Tier

IS_CI = os.environ.get("CI") == "true"
CACHES = Path(".pytest_cache")

INTERRUPTED = "failed: interrupted"
EXCERPT_LINES = 10
CAUSES = ("E  ", "while this case ran: ", "before this case ran: ", "after this case ran: ")

_preparing = threading.Lock()
"""One tier at a time installs packages."""
_stopped = threading.Event()
"""Set by Ctrl-C: no tier begins anything any more."""


@dataclass
class Result:
    """What became of a tier: how long it took, why it is not good, what is to be run again.

    ``excerpt`` is what to repeat of its output when all has ended.
    """

    tier: Tier
    reason: str = ""
    seconds: float = 0.0
    again: list[tuple[Step, list[str]]] = field(default_factory=list)
    passed_later: int = 0
    excerpt: Sequence[str] = ()

    @property
    def text(self) -> str:
        """For the table: ``passed`` and how, or the reason."""
        if self.reason:
            return self.reason
        if waiting := sum(len(tests) for _, tests in self.again) - self.passed_later:
            return f"failed: {waiting} tests, which may be run once more"
        later = self.passed_later
        return f"passed, {later} at a second attempt" if later else "passed"


class TierRun:
    """One tier on its way; ``log`` takes what its processes print, None lets them print."""

    def __init__(self, tier: Tier, log: Path | None = None, root: Path = ROOT) -> None:
        self._tier = tier
        self._log = log
        self._root = root
        self._cache = root / CACHES / tier.name

    def run(self) -> Result:
        """Prepare it and make its steps; ends with the first that fails."""
        start = time.monotonic()
        result = Result(self._tier)
        try:
            result.reason = self._prepare()
            if not result.reason:
                self._make_steps(result)
        except OSError as error:
            result.reason = f"failed: {error}"
        result.seconds = time.monotonic() - start
        return result

    def _prepare(self) -> str:
        """Return why the tier cannot run, "" if it can."""
        if self._tier.prepare is None:
            return ""
        with _preparing:
            reason = INTERRUPTED if _stopped.is_set() else self._tier.prepare()
        return f"skipped: {reason}" if reason and reason != INTERRUPTED else reason or ""

    def _make_steps(self, result: Result) -> None:
        for step in self._tier.steps:
            if _stopped.is_set():
                result.reason = INTERRUPTED
                return
            again.forget(self._cache)
            begin = len(self._said())
            status = self._status(step, step.tests)
            failed = again.worth_another_run(status, self._cache) if step.tests else []
            if failed:
                result.again.append((step, failed))
            elif status != 0:
                result.reason = self._failure(step, status)
                result.excerpt = excerpt(self._said()[begin:])
                return

    def run_again(self, result: Result) -> None:
        """Run the tests that failed once more, and put down what comes of it."""
        for step, tests in result.again:
            print(f"\n--- once more, alone: {' '.join(tests)}", flush=True)
            start = time.monotonic()
            status = self._status(step, tests)
            result.seconds += time.monotonic() - start
            if status != 0:
                result.reason = result.reason or self._failure(step, status)
                result.excerpt = [*result.excerpt, *(f"FAILED {test}" for test in tests)]
            else:
                result.passed_later += len(tests)

    def _status(self, step: Step, tests: Sequence[str]) -> int | None:
        """Return how a step ended, None if it did not in time."""
        command = [*step.command]
        if step.tests:
            command += [*again.remembering(self._cache), *tests]
        with ExitStack() as stack:
            output = None if self._log is None else stack.enter_context(self._log.open("ab"))
            try:
                return subprocess.run(
                    command,
                    cwd=self._root,
                    stdout=output,
                    stderr=None if output is None else subprocess.STDOUT,
                    timeout=self._tier.deadline_s,
                ).returncode
            except subprocess.TimeoutExpired:
                return None

    def _said(self) -> list[str]:
        """Return the lines of the log so far."""
        if self._log is None or not self._log.exists():
            return []
        return self._log.read_text(errors="replace").splitlines()

    def _failure(self, step: Step, status: int | None) -> str:
        command = " ".join((*step.command, *step.tests))
        if status is None:
            return f"failed: {command} took more than {self._tier.deadline_s} s"
        return f"failed: {command} ended with {status}"


def side_by_side(tiers: Sequence[Tier], cores: float) -> Iterator[Result]:
    """Run tiers as they fit; give each result when it is there, after its output.

    What keeps processors busy longest begins, and short ones fill the gaps.  One that needs
    more than ``cores`` runs when nothing else does.
    """
    pending = sorted(tiers, key=lambda tier: -tier.seconds * tier.cores)
    running: dict[Future[Result], Tier] = {}
    with TemporaryDirectory(prefix="pymmio-") as logs, ThreadPoolExecutor(len(tiers)) as pool:

        def ended() -> Iterator[Result]:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                tier = running.pop(future)
                print(f"=== {tier.name}", flush=True)
                log = Path(logs, tier.name)
                if log.exists():
                    print(log.read_text(errors="replace"), flush=True)
                yield future.result()

        try:
            while pending or running:
                for tier in list(pending):
                    busy = sum(other.cores for other in running.values())
                    if busy and busy + tier.cores > cores:
                        continue
                    pending.remove(tier)
                    print(f"--- {tier.name} has begun", flush=True)
                    running[pool.submit(TierRun(tier, Path(logs, tier.name)).run)] = tier
                yield from ended()
        except KeyboardInterrupt:  # their processes got it, too
            _stopped.set()
            while running:
                list(ended())
            raise


def excerpt(lines: Sequence[str]) -> Sequence[str]:
    """Return the few lines of a tier's output that tell most of what failed."""
    names = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    if not names:
        return lines[-EXCERPT_LINES:]
    causes = [line for line in lines if line.startswith(CAUSES)]
    more = [f"and {len(names) - EXCERPT_LINES} more"] if len(names) > EXCERPT_LINES else []
    return [*causes[:EXCERPT_LINES], *names[:EXCERPT_LINES], *more]


def in_turn(tiers: Sequence[Tier]) -> Iterator[Result]:
    """Run tiers one after the other; what they print is seen at once."""
    for tier in tiers:
        print(f"=== {tier.name}", flush=True)
        yield TierRun(tier).run()


def main(names: list[str]) -> int:
    """Run the named tiers, or all."""
    known = {tier.name: tier for tier in TIERS}
    if unknown := [name for name in names if name not in known]:
        print(f"no such tier: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    tiers = [known[name] for name in dict.fromkeys(names)] or TIERS
    # Thousands of processes start here, many emulated: each would compile everything again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.monotonic()
    if len(tiers) > 1 and os.environ.get("SIDE_BY_SIDE", "1") != "0":
        results = list(side_by_side(tiers, len(os.sched_getaffinity(0))))
    else:
        results = list(in_turn(tiers))
    for result in results:
        TierRun(result.tier).run_again(result)
    print("\ntier        seconds  result")
    for result in sorted(results, key=lambda one: tiers.index(one.tier)):
        print(f"{result.tier.name:<10} {result.seconds:8.1f}  {result.text}")
    print(f"{'all':<10} {time.monotonic() - start:8.1f}")
    for result in results:
        if result.reason and result.excerpt:
            print(f"\n{result.tier.name}, from its output above:", *result.excerpt, sep="\n")
    good = ("passed",) if IS_CI else ("passed", "skipped")
    return int(not all(result.text.startswith(good) for result in results))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
