"""Proof of "one access is one access": what an accessor does, shown three ways.

``static`` reads code: every record of the exception table, or a simple function.  ``dynamic``
records the accesses while Python runs the accessor.  ``atomic`` looks for torn values under a
concurrent writer.  A part that could not be shown is unproven, and so is the whole.
"""

from __future__ import annotations

from pymmio.check.accessors.prove import (
    Options,
    prove_callable,
    prove_function,
    prove_subjects,
    prove_table,
)
from pymmio.check.accessors.row import Row
from pymmio.check.accessors.subjects import SUBJECTS
from pymmio.check.accessors.tools import ToolMissing
from pymmio.check.accessors.verdict import Verdict

__all__ = [
    "SUBJECTS",
    "Options",
    "Row",
    "ToolMissing",
    "Verdict",
    "prove_callable",
    "prove_function",
    "prove_subjects",
    "prove_table",
]
