"""What came out of a case; written by the agent, read on the host."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Result:
    """The result of one call: ``detail`` is the traceback, or the reason of a skip."""

    id: str
    outcome: Outcome
    detail: str = ""
    output: str = ""
    seconds: float = 0.0

    def to_json(self) -> str:
        """Return the result as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Result:
        """Read what ``to_json`` wrote; raises ValueError for anything else."""
        fields = json.loads(line)
        if not isinstance(fields, dict) or fields.get("outcome") not in get_args(Outcome):
            raise ValueError(f"not a result: {line[:100]!r}")
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"not a result: {line[:100]!r}") from error


def read_results(path: Path) -> dict[str, Result]:
    """Return the results in ``path`` by id, without a last line that was cut short."""
    if not path.exists():
        return {}
    whole_lines = path.read_text(errors="replace").split("\n")[:-1]
    return {result.id: result for result in map(Result.from_json, whole_lines)}
