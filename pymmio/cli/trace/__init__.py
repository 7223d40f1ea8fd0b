"""``pymmio trace``: what a program does to its devices."""

from __future__ import annotations

import click

from pymmio.cli.lazy import LazyGroup

__all__ = ["trace"]


@click.group(
    cls=LazyGroup,
    short_help="Trace and record what a program does to its devices.",
    lazy={
        "run": "pymmio.cli.trace.run:run",
        "show": "pymmio.cli.trace.show:show",
    },
    epilog="""\b
Examples:
  pymmio trace run --out session.jsonl --format record -- pymmio nvme identify sim:nvme
  pymmio trace show session.jsonl
  pymmio nvme identify 'sim:replay?file=session.jsonl'
""",
)
def trace() -> None:
    """Trace what a program does to its devices, look at it, and record it for a replay."""
