"""``pymmio doctor``: what this machine offers, what is missing, and what to do about it."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from pymmio.cli.options import json_option

if TYPE_CHECKING:
    from rich.table import Table

    from pymmio.doctor import Finding, Report

__all__ = ["doctor"]


@click.command(
    "doctor",
    short_help="What this machine offers for drivers, and what is missing.",
    epilog="""\b
Examples:
  pymmio doctor                                what there is, and the next steps
  pymmio doctor --json | jq '.[] | select(.state == "missing")'
  pymmio doctor --check vfio                   exit code 1 if VFIO lacks something
  pymmio doctor --check vfio:0000:01:00.0      the same for one device and this user
""",
)
@click.option(
    "--check",
    "purpose",
    metavar="WHAT",
    help="Show what vfio, or the device vfio:ADDRESS, needs; exit with 1 unless all is there.",
)
@json_option
def doctor(purpose: str | None, as_json: bool) -> int:
    """Look at this machine: IOMMU, VFIO, devices, memory, processor, kernel, QEMU, software.

    Reads and changes nothing. Any user may run it, and sees what that user may do. Without
    --check the exit code is 0, whatever was found.
    """
    from pymmio.cli.errors import ExitCode
    from pymmio.cli.output import is_terminal, print_json, progress_share, show_table
    from pymmio.doctor import check, examine

    with progress_share("Looking at this machine") as progress:
        if purpose is None:
            report = examine(progress=progress)
        else:
            report = check(purpose, progress=progress)
    if as_json:
        print_json(report)
    elif is_terminal():
        _show(report)
    else:
        rows = [(f.state, f.topic, f.name, f.seen, f.next_step) for f in report]
        show_table(("state", "topic", "name", "seen", "next step"), rows)
    return ExitCode.OK if purpose is None or report.is_ready else ExitCode.FAILURE


# state: (mark, mark where there is only ASCII, style)
_MARKS = {
    "ok": ("\N{HEAVY CHECK MARK}", "+", "bold green"),
    "warn": ("!", "!", "bold yellow"),
    "missing": ("\N{HEAVY BALLOT X}", "x", "bold red"),
    "info": ("\N{MIDDLE DOT}", "-", "dim"),
    "unknown": ("?", "?", "bold magenta"),
}
_NAME_WIDTH = 19


def _show(report: Report) -> None:
    """Print a table for each topic, one below the other, and what the marks mean."""
    from rich.text import Text

    from pymmio.cli.output import console

    out = console()
    ascii_only = out.options.ascii_only
    for topic, findings in groupby(report, key=lambda finding: finding.topic):
        out.print(Text(topic, style="bold"))
        out.print(_table(list(findings), ascii_only))
    marks = Text()
    for state, number in report.counts().items():
        mark, plain, style = _MARKS[state]
        marks.append(plain if ascii_only else mark, style=style)
        marks.append(f" {number} {state}   ")
    out.print(marks)


def _table(findings: list[Finding], ascii_only: bool) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.ROUNDED, show_header=False, expand=True)
    table.add_column(width=1)
    table.add_column(width=_NAME_WIDTH, overflow="fold", style="cyan")
    table.add_column(ratio=1, overflow="fold")
    for finding in findings:
        mark, plain, style = _MARKS[finding.state]
        seen = Text(finding.seen)
        if finding.next_step:
            arrow = "->" if ascii_only else "\N{RIGHTWARDS ARROW}"
            seen.append(f"\n{arrow} {finding.next_step}", style="dim")
        table.add_row(Text(plain if ascii_only else mark, style=style), Text(finding.name), seen)
    return table
