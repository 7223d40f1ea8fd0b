"""The exception table of the core that is loaded, as evidence for what was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pymmio.arch import _core, lib
from pymmio.check.accessors.dynamic import Case, Observed
from pymmio.check.accessors.shared_object import SharedObject
from pymmio.check.accessors.static import judge_table, open_object
from pymmio.check.accessors.tools import ToolMissing
from pymmio.check.accessors.verdict import Direction, Judgement, Verdict

__all__ = ["CoreTable"]


@dataclass(frozen=True, slots=True)
class CoreTable:
    """The table, judged; ``missing`` says why there is none."""

    path: Path
    judgements: dict[tuple[int, Direction], Judgement]
    addresses: frozenset[int]
    shared: SharedObject | None
    missing: str = ""

    @classmethod
    def of_loaded_core(cls) -> CoreTable:
        """Read the file that this process has loaded."""
        path = Path(_core.__file__).resolve()
        try:
            shared = open_object(path)
            addresses = frozenset(record.instruction for record in shared.records())
            if len(addresses) != lib.pm_ex_count():
                return cls(path, {}, frozenset(), None, f"{path.name} is not what is loaded")
            return cls(path, judge_table(shared), addresses, shared)
        except ToolMissing as error:
            return cls(path, {}, frozenset(), None, str(error))

    def judge(self, case: Case, observed: Observed) -> Judgement:
        """Judge an accessor: its records, and that what was recorded is one of them."""
        if self.shared is None:
            return Judgement(Verdict.UNPROVEN, self.missing)
        for recording in observed.recorded:
            for entry in recording["touches"]:
                if "width" in entry:  # seen from outside, where files are not known
                    continue
                file, offset = entry.get("file", "unknown code"), entry.get("file_offset", 0)
                if file != str(self.path) or self.shared.address_of(offset) not in self.addresses:
                    said = f"{Path(file).name}+{offset:#x} is not in the exception table"
                    return Judgement(Verdict.UNPROVEN, said)
        return self.judgements[case.width, case.direction]
