"""Rule conformance: what a device gets of each access, compared with literal tables."""

from __future__ import annotations

from pymmio.check.rules.presets import NAMES, preset, presets
from pymmio.check.rules.recorder import DeviceRecorder, Recorder, Seen
from pymmio.check.rules.runner import Case, Report, Subject, Verdict, run
from pymmio.check.rules.subjects import (
    SUBJECTS,
    ReadySubject,
    file_subject,
    ready_subject,
    region_subject,
    through,
)
from pymmio.check.rules.table import Cell, Expectation, Preset, Source, Table

__all__ = [
    "NAMES",
    "SUBJECTS",
    "Case",
    "Cell",
    "DeviceRecorder",
    "Expectation",
    "Preset",
    "ReadySubject",
    "Recorder",
    "Report",
    "Seen",
    "Source",
    "Subject",
    "Table",
    "Verdict",
    "file_subject",
    "preset",
    "presets",
    "ready_subject",
    "region_subject",
    "run",
    "through",
]
