"""What came out of the checks, one line each, for the page of the matrix."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pymmio.testing.contract import Verdict
from tests.guest.initramfs import SHARE

__all__ = ["RECORDS", "VARIABLE", "Record", "read", "tell"]

RECORDS = "contract.jsonl"
VARIABLE = "PYMMIO_CONTRACT_RECORDS"


@dataclass(frozen=True)
class Record:
    """The verdict of one check in one column of the matrix; ``reason`` is that of an exception."""

    column: str
    device: str
    group: str
    check: str
    outcome: str
    reason: str = ""


def tell(column: str, device: str, verdict: Verdict) -> None:
    """Write a verdict down where somebody collects them: in a guest, or as VARIABLE says."""
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else SHARE / RECORDS
    if not path.parent.is_dir():
        return
    record = Record(
        column,
        device,
        verdict.check.group.value,
        verdict.check.name,
        verdict.outcome.value,
        "" if verdict.lack is None else verdict.lack.reason,
    )
    with path.open("a", encoding="utf-8") as records:
        records.write(json.dumps(asdict(record)) + "\n")


def read(path: Path) -> list[Record]:
    """Return what was written down."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Record(**json.loads(line)) for line in lines]
