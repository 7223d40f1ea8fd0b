"""The whole proof of subjects: static, dynamic, tearing."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymmio.check.accessors import _recorder, static
from pymmio.check.accessors.core_table import CoreTable
from pymmio.check.accessors.dynamic import Case, Observed, judge_recorded, machine_of, observe
from pymmio.check.accessors.row import Row, combine, judge_tearing
from pymmio.check.accessors.shared_object import SharedObject
from pymmio.check.accessors.subjects import (
    PYMMIO,
    PYMMIO_BLOCK,
    SUBJECTS,
    Subject,
    subject_named,
)
from pymmio.check.accessors.tools import ToolMissing
from pymmio.check.accessors.verdict import Direction, Judgement, Verdict
from pymmio.errors import BadArgument

__all__ = ["Options", "prove_callable", "prove_function", "prove_subjects", "prove_table"]

_NO_PROMISE = Judgement(Verdict.UNPROVEN, "nothing in its code promises what was seen")


@dataclass(frozen=True, slots=True)
class Options:
    """How to observe.

    ``recorder`` is "fault" or "emulator"; ``tearing_s`` the least time of each tearing run, 0 for
    none; ``progress`` is told the share of the subjects that ran.
    """

    recorder: str = "fault"
    tearing_s: float = 0.05
    progress: Callable[[float], None] | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """A case and how its code is judged, once it is known which code ran."""

    case: Case
    judge_code: Callable[[Case, Observed], Judgement]
    subject: Subject | None = None


def prove_subjects(
    names: Sequence[str] = (), *, widths: Iterable[int] = (), options: Options | None = None
) -> list[Row]:
    """Prove the named ready subjects, by default all, and with them those that are known.

    Runs them in child processes on memory of their own; touches no device.  Raises BadArgument
    for an unknown name.
    """
    subjects = [subject_named(name) for name in names] or list(SUBJECTS)
    subjects += [s for s in SUBJECTS if s.is_control and s not in subjects]
    wanted = set(widths)
    works = _works_of(subjects, lambda width: not wanted or width in wanted)
    return _prove(works, options or Options())


def prove_callable(
    target: str,
    *,
    widths: Iterable[int],
    direction: Direction,
    options: Options | None = None,
) -> list[Row]:
    """Prove a function of Python, ``module:function``; see :func:`subjects.from_callable`.

    It is imported in a child process only.
    """
    works = [
        _Work(Case(target, width, direction, {"callable": target}), _no_promise) for width in widths
    ]
    return _prove_beside_controls(works, options or Options())


def prove_function(
    path: Path,
    symbol: str,
    *,
    width: int,
    direction: Direction,
    options: Options | None = None,
) -> list[Row]:
    """Prove a function of a shared object.

    Where it is code for this machine it is called too, in a child process, as ``uintN_t
    f(const void *)`` or ``void f(void *, uintN_t)``.  Raises BadArgument if there is no such file
    or function.
    """
    if width not in static.WIDTHS:
        raise BadArgument(f"width {width} is no access", hint="A width is 1, 2, 4 or 8 bytes")
    case = Case(symbol, width, direction, {"object": str(path.resolve()), "symbol": symbol})
    try:
        shared = static.open_object(path)
        judged = static.judge_symbol(shared, symbol, width, direction)
    except ToolMissing as error:
        judged = Judgement(Verdict.UNPROVEN, str(error))
    else:
        if shared.arch != platform.machine():
            foreign = Judgement(Verdict.UNPROVEN, f"code for {shared.arch} does not run here")
            row = combine(case, shared.arch, static=judged, dynamic=foreign, atomic=foreign)
            return [row]
    return _prove_beside_controls([_Work(case, lambda *_: judged)], options or Options())


def prove_table(path: Path) -> list[Row]:
    """Prove the exception table of a shared object or of the core in a wheel: static only.

    Raises BadArgument for other files, ToolMissing without pyelftools or capstone.
    """
    shared = static.open_object(path)
    unseen = Judgement(Verdict.UNPROVEN, "only the file was looked at")
    return [
        combine(
            Case(f"{shared.name} table", width, direction),
            shared.arch,
            static=judgement,
            dynamic=unseen,
            atomic=unseen,
        )
        for (width, direction), judgement in static.judge_table(shared).items()
    ]


def _no_promise(case: Case, observed: Observed) -> Judgement:
    return _NO_PROMISE


def _works_of(subjects: Iterable[Subject], is_wanted: Callable[[int], bool]) -> list[_Work]:
    table = CoreTable.of_loaded_core()
    specimens = _Specimens()
    works = []
    for subject in subjects:
        judge_code: Callable[[Case, Observed], Judgement] = _no_promise
        if subject.name in (PYMMIO, PYMMIO_BLOCK):
            judge_code = table.judge
        elif subject.symbol:
            judge_code = specimens.judge_as(subject.symbol)
        works += [
            _Work(Case(subject.name, width, direction), judge_code, subject)
            for direction in subject.directions
            for width in subject.widths
            if is_wanted(width)
        ]
    return works


class _Specimens:
    """The functions of the recorder's own library."""

    def __init__(self) -> None:
        self._shared: SharedObject | None = None
        self._missing = ""
        try:
            self._shared = SharedObject(Path(_recorder.__file__))
        except ToolMissing as error:
            self._missing = str(error)

    def judge_as(self, prefix: str) -> Callable[[Case, Observed], Judgement]:
        """Return what judges ``pm_PREFIX_read8`` and its like."""

        def judge(case: Case, observed: Observed) -> Judgement:
            if self._shared is None:
                return Judgement(Verdict.UNPROVEN, self._missing)
            symbol = f"pm_{prefix}_{case.direction}{8 * case.width}"
            try:
                return static.judge_symbol(self._shared, symbol, case.width, case.direction)
            except ToolMissing as error:
                return Judgement(Verdict.UNPROVEN, str(error))

        return judge


def _prove_beside_controls(works: list[_Work], options: Options) -> list[Row]:
    """Prove ``works`` in one run with what is known to be torn at their widths."""
    widths = {work.case.width for work in works}
    controls = [subject for subject in SUBJECTS if subject.is_torn]
    return _prove(works + _works_of(controls, widths.__contains__), options)


def _prove(works: Sequence[_Work], options: Options) -> list[Row]:
    arch = platform.machine()
    observed = observe(
        [work.case for work in works],
        recorder=options.recorder,
        tearing_s=options.tearing_s,
        progress=options.progress,
    )
    torn = {
        (work.case.direction, work.case.width)
        for work, seen in zip(works, observed, strict=True)
        if work.subject and work.subject.is_torn and seen.tearing and seen.tearing.torn
    }
    rows = []
    for work, seen in zip(works, observed, strict=True):
        dynamic = _judge_recorded(arch, work.case, seen)
        is_known_torn = (work.case.direction, work.case.width) in torn
        row = combine(
            work.case,
            arch,
            static=work.judge_code(work.case, seen),
            dynamic=dynamic,
            atomic=judge_tearing(work.case, seen, dynamic, is_known_torn=is_known_torn),
            is_control=work.subject is not None and work.subject.is_control,
            observed=seen,
        )
        rows.append(row)
    return rows


def _judge_recorded(arch: str, case: Case, observed: Observed) -> Judgement:
    machine = machine_of(arch)
    if machine is None:
        return Judgement(Verdict.UNPROVEN, f"instructions of {arch} are not known")
    try:
        return judge_recorded(machine, case, observed)
    except ToolMissing as error:
        return Judgement(Verdict.UNPROVEN, str(error))
