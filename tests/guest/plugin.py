"""Turn guest cases into pytest items: one boot for all selected cases of a guest."""

from __future__ import annotations

import importlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tests.guest.case import PREFIX, CaseCall, call_of, options_of
from tests.guest.guest import Guest, GuestFailure, Run, run
from tests.guest.guests import GUESTS
from tests.guest.needs import reason_not_ready
from tests.guest.result import Result

PROJECT = Path(__file__).resolve().parents[2]
SIDE_BY_SIDE = min(2, os.cpu_count() or 1)
"""So many guests run at once: each keeps one processor busy."""
BOOT_S = 200
"""About how many seconds of cases one boot is for: a guest with more is booted several times, with
some of the files each."""


class CaseFailed(Exception):
    """A case failed in its guest; the message is what the user reads."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and the place where boots are remembered."""
    config.addinivalue_line("markers", "guest: runs inside an emulated machine")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect ``case_*.py``."""
    if file_path.suffix == ".py" and file_path.name.startswith(PREFIX):
        file: CaseFile = CaseFile.from_parent(parent, path=file_path)
        return file
    return None


def require_guest(guest: Guest) -> None:
    """Skip with the reason where ``guest`` cannot be started; under CI=true that is a failure."""
    reason = reason_not_ready(guest.arch)
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (under CI=true this is a failure)", pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how long each boot took."""
    for boot in dict.fromkeys(config.stash.get(_BOOTS, {}).values()):
        terminalreporter.write_line(f"guest {boot}")


class CaseFile(pytest.File):
    """A file of cases; its functions become items in the order of the file."""

    def collect(self) -> Iterator[CaseItem]:
        """Yield an item for each case, guest and parameter."""
        name = ".".join(self.path.relative_to(PROJECT).with_suffix("").parts)
        module = importlib.import_module(name)
        for key, function in vars(module).items():
            if key.startswith(PREFIX) and callable(function) and function.__module__ == name:
                yield from self._items(key, function)

    def _items(self, key: str, function: Callable[..., None]) -> Iterator[CaseItem]:
        options = options_of(function)
        for guest in options.guests:
            if guest not in GUESTS:
                raise self.CollectError(f"{key}: no guest {guest!r} in tests/guest/guests.py")
            for param in options.params or (None,):
                labels = [guest] * (len(options.guests) > 1) + [param] * (param is not None)
                suffix = f"[{'-'.join(map(str, labels))}]" if labels else ""
                item: CaseItem = CaseItem.from_parent(
                    self, name=key + suffix, call=call_of(function, param), guest=GUESTS[guest]
                )
                yield item


class CaseItem(pytest.Item):
    """One call of a case in one guest."""

    def __init__(self, *, call: CaseCall, guest: Guest, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.call = call
        self.guest = guest
        self.add_marker(pytest.mark.guest)

    def runtest(self) -> None:
        """Boot the guest unless that is done, then report what it said about this case."""
        require_guest(self.guest)
        result = _boot_of(self).result(self.call)
        self.user_properties.append(("guest_seconds", result.seconds))
        if result.output:
            self.add_report_section("call", "guest output", result.output)
        if result.outcome == "skipped":
            pytest.skip(result.detail)
        if result.outcome == "failed":
            raise CaseFailed(result.detail)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: str | None = None
    ) -> str:
        """Show the guest's traceback, not the host's."""
        if isinstance(excinfo.value, CaseFailed | pytest.fail.Exception):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Name the item in reports."""
        return self.path, None, self.name


@dataclass(frozen=True)
class Death:
    """How a guest died, and the folder of that boot."""

    failure: GuestFailure
    folder: Path

    def explain(self, call: CaseCall) -> str:
        """Return the reason and most of the console, after what the case itself said."""
        result = self.failure.results.get(call.id)
        when = "after" if result else "while" if self.failure.running == call.id else "before"
        said = f"{result.detail}\n" if result and result.outcome == "failed" else ""
        return (
            f"{said}{when} this case ran: {self.failure.explain()}\n"
            f"whole console: {self.folder / 'console.log'}"
        )


class Boot:
    """One boot and its outcome: results, and what ended it early if something did.

    A guest that dies fails the case that it died in, or the last one where it does not end well.
    Those after it get another boot, once.
    """

    def __init__(self, guest: Guest, calls: Sequence[CaseCall], folder: Path) -> None:
        self._guest, self._calls, self._folder = guest, calls, folder
        self._seconds = 0.0
        self._results: dict[str, Result] = {}
        self._deaths: dict[str, Death] = {}  # by the case that the guest died in
        self._over = threading.Event()
        self._error: BaseException | None = None
        self._is_error_raised = False

    @property
    def weight(self) -> float:
        """About how many seconds its cases take."""
        return _weight(self._calls)

    def run(self) -> None:
        """Boot the guest, return when it has ended."""
        start = time.monotonic()
        try:
            left = self._calls_left_by(self._calls, self._folder / "boot-1")
            if left:
                self._calls_left_by(left, self._folder / "boot-2")
        except BaseException as error:
            self._error = error
        finally:
            self._seconds = time.monotonic() - start
            self._over.set()

    def _calls_left_by(self, calls: Sequence[CaseCall], folder: Path) -> Sequence[CaseCall]:
        """Boot for ``calls``; return those after the one that the guest died in."""
        try:
            self._results |= run(self._guest, calls, folder).results
        except GuestFailure as failure:
            self._results |= failure.results
            left = [call for call in calls if call.id not in self._results]
            died_in = left[0] if left else calls[-1]
            self._deaths[died_in.id] = Death(failure, folder)
            return left[1:]
        return []

    def __str__(self) -> str:
        died = f", died {len(self._deaths)} x" if self._deaths else ""
        return f"{self._guest.name}: {len(self._calls)} cases, {self._seconds:.0f} s{died}"

    def result(self, call: CaseCall) -> Result:
        """Wait for the end of the guest and return the result of ``call``.

        Raises CaseFailed where the guest died in it or did not get that far; once, before that,
        what kept the guest from starting.
        """
        self._over.wait()
        if death := self._deaths.get(call.id):
            raise CaseFailed(death.explain(call))
        if result := self._results.get(call.id):
            return result
        if self._error is not None and not self._is_error_raised:
            self._is_error_raised = True
            raise self._error
        raise CaseFailed(self._why_not_reached())

    def _why_not_reached(self) -> str:
        if self._error is not None:
            return f"not reached: {type(self._error).__name__}: {self._error}"
        if self._deaths:
            return f"not reached: {[*self._deaths.values()][-1].failure.explain(20)}"
        return "the agent did not report a result"


_BOOTS = pytest.StashKey[dict[tuple[str, str], Boot]]()  # by guest and module


def _boot_of(item: CaseItem) -> Boot:
    """Return the boot that runs the item's case; the first call starts all guests."""
    if _BOOTS not in item.config.stash:
        item.config.stash[_BOOTS] = _start(item.session)
    return item.config.stash[_BOOTS][item.guest.name, item.call.module]


def _start(session: pytest.Session) -> dict[tuple[str, str], Boot]:
    """Boot the guests of all selected cases, SIDE_BY_SIDE at a time, the longest first.

    The threads are daemons: guests end with the thread that started them, and so with pytest.
    """
    calls: dict[str, dict[str, list[CaseCall]]] = {}  # by guest and module
    for item in session.items:
        if isinstance(item, CaseItem) and reason_not_ready(item.guest.arch) is None:
            of_guest = calls.setdefault(item.guest.name, {})
            of_guest.setdefault(item.call.module, []).append(item.call)
    factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    boots: dict[tuple[str, str], Boot] = {}
    for name, modules in calls.items():
        for share in _shares(modules):
            chosen = [call for module in share for call in modules[module]]
            boot = Boot(GUESTS[name], chosen, factory.mktemp(f"guest-{name}"))
            boots |= {(name, module): boot for module in share}
    waiting = queue.SimpleQueue[Boot]()
    for boot in sorted(dict.fromkeys(boots.values()), key=lambda boot: -boot.weight):
        waiting.put(boot)

    def work() -> None:
        with suppress(queue.Empty):
            while not session.shouldstop and not session.shouldfail:
                waiting.get_nowait().run()

    for _ in range(SIDE_BY_SIDE):
        threading.Thread(target=work, daemon=True).start()
    return boots


def _shares(modules: Mapping[str, Sequence[CaseCall]]) -> list[list[str]]:
    """Divide the files of a guest among its boots, so that they take about the same time."""
    weights = {module: _weight(calls) for module, calls in modules.items()}
    shares: list[list[str]] = [[] for _ in range(max(1, round(sum(weights.values()) / BOOT_S)))]
    for module in sorted(weights, key=lambda name: -weights[name]):
        min(shares, key=lambda share: sum(weights[name] for name in share)).append(module)
    return [[name for name in modules if name in share] for share in shares if share]


def _weight(calls: Iterable[CaseCall]) -> float:
    """Return about how many seconds cases take."""
    return sum(call.seconds for call in calls)


class GuestRunner(Protocol):
    """Boots a guest with some cases and returns what they left behind."""

    def __call__(
        self,
        cases: Iterable[Callable[[], None] | CaseCall],
        guest: Guest = ...,
        disks: Mapping[str, Path] | None = ...,
    ) -> Run:
        """Run ``cases`` in one boot of ``guest``; see tests.guest.guest.run."""


@pytest.fixture
def guest_run(tmp_path: Path) -> GuestRunner:
    """Return a function that boots a guest: for checks on the host before, between and after.

    Each call is one boot in a folder of its own; hand ``disks=earlier.disks`` on to boot again
    with what an earlier run wrote.
    """
    count = 0

    def runner(
        cases: Iterable[Callable[[], None] | CaseCall],
        guest: Guest = GUESTS["default"],
        disks: Mapping[str, Path] | None = None,
    ) -> Run:
        nonlocal count
        require_guest(guest)
        count += 1
        calls = [item if isinstance(item, CaseCall) else call_of(item) for item in cases]
        return run(guest, calls, tmp_path / f"boot-{count}", disks)

    return runner
