"""Run the test suite under a big-endian Python: s390x, emulated by qemu-user.

``python -m tests.bigendian.run [PYTEST ARGUMENTS]``; without arguments, or with the whole SUITE,
all of that, then CASES with memory-I/O instructions and system calls emulated (tests/arch/mio),
then MAPPED with all mappings reached in these ways.

``--python ARGUMENTS`` runs that Python instead of pytest.  ``--way mio|syscall PYTEST ARGUMENTS``
forces the way of all mappings.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import again
from tests.arch.build import BuildFailed
from tests.arch.python import ensure_python
from tests.bigendian import SUITE
from tests.bigendian.stage import S390X, ForeignCode, make, name_of_stage
from tests.debian import PackagesUnavailable
from tests.guest.cache import locked
from tests.guest.process import IF_PARENT

CASES = ("tests/bigendian/cases/case_ways.py",)
MAPPED = ("tests/unit/mmio", "tests/unit/test_refusals.py")
WAYS = ("mio", "syscall")
# What takes longer than it looks, and how much: tests that start Python again and again, and
# small files that ask everything of a backend.
COST = {"tests/unit/cli/": 3, "tests/contract/": 25}
NO_TESTS_RAN = 5  # pytest's status
OTHERWISE_BAD = 3  # as pytest's status for what is no failure of a test
SLOW_S = 120  # a test that takes longer says where it hangs
PYTEST = (
    *("-m", "pytest", "-q", "-p", "tests.bigendian.plugin"),
    *("-o", f"faulthandler_timeout={SLOW_S}"),
)
DEADLINE_S = 1200.0
ENDS_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
LOCK_TIMEOUT_S = 1800.0
PROCESSES = max(2, os.cpu_count() or 1)


@dataclass(frozen=True)
class Part:
    """One pytest process: what it runs, and what stands in its environment."""

    arguments: tuple[str, ...]
    way: str | None = None
    is_emulated: bool = False

    @property
    def title(self) -> str:
        """How it is called in the summary."""
        return " ".join(self.arguments) + (f", way {self.way}" if self.way else "")

    def command(self) -> list[str]:
        """Return the arguments of Python."""
        return [*PYTEST, *self.arguments]

    def variables(self, python: Path) -> dict[str, str]:
        """Return what the emulator and the plugin read."""
        forced = {} if self.way is None else {"FORCED_WAY": self.way}
        if self.way is not None or self.is_emulated:
            forced["EMULATED_PRELOAD"] = str(python.parents[1] / "libmio.so")
        return forced


@dataclass(frozen=True)
class Outcome:
    """How a part ended."""

    status: int | None  #: None where it did not end in time
    said: str
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether nothing failed."""
        return self.status in (0, NO_TESTS_RAN)

    def show(self, part: Part) -> None:
        """Print it: the last lines, or all where something failed."""
        print(f"--- {part.title}: status {self.status}, {self.seconds:.0f} s", flush=True)
        print(_last_lines(self.said) if self.is_good else self.said, flush=True)


def parts(project: Path) -> list[Part]:
    """Return the whole run in parts of about the same length, the longest first.

    How long a folder takes is guessed from the size of its files.
    """
    weights: dict[str, int] = {}
    for folder in SUITE:
        for file in sorted((project / folder).rglob("test_*.py")):
            inside = file.relative_to(project / folder).parts
            key = f"{folder}/{inside[0]}"
            name = str(file.relative_to(project))
            factor = next((cost for start, cost in COST.items() if name.startswith(start)), 1)
            if factor > 1:  # file by file
                key = name
            weights[key] = weights.get(key, 0) + factor * file.stat().st_size
    largest = max(weights.values())
    together: list[tuple[int, list[str]]] = []
    for name, weight in sorted(weights.items(), key=lambda item: -item[1]):
        for place, (sum_, names) in enumerate(together):
            if sum_ + weight <= largest:
                together[place] = (sum_ + weight, [*names, name])
                break
        else:
            together.append((weight, [name]))
    suite = [Part(tuple(names)) for _, names in together]
    return [*suite, Part(CASES, is_emulated=True), *(Part(MAPPED, way) for way in WAYS)]


def main(arguments: list[str]) -> int:
    """Return pytest's status, or 1 with the reason where it cannot run."""
    if reason := S390X.reason_not_ready():
        print(reason, file=sys.stderr)
        return 1
    with locked(name_of_stage(), LOCK_TIMEOUT_S):
        with TemporaryDirectory(prefix="pymmio-bigendian-") as scratch:
            try:
                python = make(ensure_python(), Path(scratch))
            except (PackagesUnavailable, BuildFailed, ForeignCode) as error:
                print(error, file=sys.stderr)
                return 1
        return _do(python, arguments)


def _do(python: Path, arguments: list[str]) -> int:
    if arguments[:1] == ["--python"]:
        project = python.parents[1] / "project"
        command = [str(python), *arguments[1:]]
        return subprocess.run(command, cwd=project, env=_environment()).returncode
    if arguments[:1] == ["--way"]:
        return _show(python, [Part(tuple(arguments[2:]), arguments[1])])
    tests, cache = again.remembered_in(arguments)
    if tests and tests != [*SUITE]:
        return _show(python, [Part(tuple(tests))], cache)
    return _show(python, parts(python.parents[1] / "project"), cache)


def _show(python: Path, wanted: list[Part], cache: Path | None = None) -> int:
    """Run parts side by side; print what each says when it is over.

    Returns pytest's status.  ``cache`` is told which tests failed, if that is all that is wrong.
    """
    failed: list[str] = []
    bad = 0
    with TemporaryDirectory(prefix="pymmio-") as caches, ThreadPoolExecutor(PROCESSES) as pool:

        def run(number: int, part: Part) -> tuple[Part, Outcome, Path]:
            own = Path(caches, str(number))
            return part, _outcome(python, part, own), own

        for ended in as_completed([pool.submit(run, *one) for one in enumerate(wanted)]):
            part, outcome, own = ended.result()
            outcome.show(part)
            if outcome.is_good:
                continue
            names = again.worth_another_run(outcome.status, own)
            failed += names
            if not names or part.variables(python):  # one test alone is not what such a part is
                bad = OTHERWISE_BAD
    if failed and cache is not None and not bad:
        again.remember(cache, failed)
    return bad or (again.TESTS_FAILED if failed else 0)


def _outcome(python: Path, part: Part, cache: Path) -> Outcome:
    """Run a part; ``cache`` is where it remembers what failed."""
    start = time.monotonic()
    command = [*part.command(), *again.remembering(cache)]
    status, said = _captured(python, command, **part.variables(python))
    return Outcome(status, said, time.monotonic() - start)


def _last_lines(output: str) -> str:
    lines = output.splitlines()
    telling = [line for line in lines[:-1] if line.startswith(("SKIPPED", "executed: "))]
    return "\n".join([*telling, *lines[-1:]])


def _environment(**variables: str) -> dict[str, str]:
    return dict(
        os.environ,
        HYPOTHESIS_PROFILE="emulated",
        PYTHONPATH="",
        PYTHONUNBUFFERED="1",
        **variables,
    )


def _captured(python: Path, arguments: list[str], **variables: str) -> tuple[int | None, str]:
    """Return status, None if it took too long, and output; what the process left running is ended.

    The output goes to a file: a pipe would be open as long as any process that was left behind.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*ENDS_WITH_PARENT, "sh", "-c", IF_PARENT, str(os.getpid()), str(python), *arguments],
            cwd=python.parents[1] / "project",
            env=_environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        late = ""
        try:
            status: int | None = process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            status, late = None, f"\nmore than {DEADLINE_S:.0f} s"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return status, output.read().decode(errors="replace") + late


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
