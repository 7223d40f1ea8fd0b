"""The checks, one file a group; importing this registers them in this order."""

from __future__ import annotations

# ruff: noqa: I001  (the order of the groups)
from pymmio.testing.contract.checks import regions
from pymmio.testing.contract.checks import configuration
from pymmio.testing.contract.checks import scratch
from pymmio.testing.contract.checks import ways
from pymmio.testing.contract.checks import rules
from pymmio.testing.contract.checks import recorded
from pymmio.testing.contract.checks import memory
from pymmio.testing.contract.checks import mappings
from pymmio.testing.contract.checks import buffers
from pymmio.testing.contract.checks import interrupts
from pymmio.testing.contract.checks import eventfds
from pymmio.testing.contract.checks import waiting
from pymmio.testing.contract.checks import reset
from pymmio.testing.contract.checks import life
from pymmio.testing.contract.checks import taking
from pymmio.testing.contract.checks import errors
from pymmio.testing.contract.checks import exhaustion
from pymmio.testing.contract.checks import concurrency
from pymmio.testing.contract.checks import fork
from pymmio.testing.contract.checks import closing
from pymmio.testing.contract.checks import removal
from pymmio.testing.contract.checks import tracing
from pymmio.testing.contract.checks import sharing

__all__ = [
    "buffers",
    "closing",
    "concurrency",
    "configuration",
    "errors",
    "eventfds",
    "exhaustion",
    "fork",
    "interrupts",
    "life",
    "mappings",
    "memory",
    "recorded",
    "regions",
    "removal",
    "reset",
    "rules",
    "scratch",
    "sharing",
    "taking",
    "tracing",
    "waiting",
    "ways",
]
