"""``pymmio check rules``: what a device gets of each access, compared with literal rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pymmio.check.rules.presets import NAMES
from pymmio.cli.options import DeviceCommand, Target

if TYPE_CHECKING:
    from pathlib import Path

    from pymmio.check.rules import Report

__all__ = ["rules"]

SUBJECTS = ("region", "strict", "split", "bytes", "message", "pread")
"""The keys of pymmio.check.rules.SUBJECTS, which is not imported here."""


@click.command(
    cls=DeviceCommand,
    short_help="Compare what a device gets with the rules of others.",
    epilog=f"""\b
Rules:
  {", ".join(NAMES[:6])},
  {", ".join(NAMES[6:])}

\b
Examples:
  pymmio check rules sim:access-recorder --rule strict-pci
  pymmio check rules sim:access-recorder --rule vfio-pci --rule nvme --html rules.html
  pymmio check rules vfio:0000:01:00.0 --json      a recorder that QEMU serves to this guest
""",
)
@click.option(
    "--rule",
    "names",
    metavar="NAME",
    multiple=True,
    type=click.Choice(NAMES),
    help="Compare with this rule; may be given several times. Default: all.",
)
@click.option(
    "--subject",
    type=click.Choice(SUBJECTS),
    default="region",
    show_default=True,
    help="Who makes the accesses.",
)
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True),
    help="Write a page with the matrix of each rule, too.",
)
@click.pass_context
def rules(
    ctx: click.Context,
    target: Target,
    names: tuple[str, ...],
    subject: str,
    html: str | None,
    as_json: bool,
) -> None:
    """Ask for every width at every offset and compare what the device URI got.

    The device is an access recorder: sim:access-recorder, or that model served elsewhere. Each
    rule is a literal table with its sources. The exit code is 1 if a rule is broken.
    """
    from pathlib import Path

    from pymmio.check.rules import DeviceRecorder, Verdict, preset, ready_subject, run, through
    from pymmio.check.rules.report import as_dict, text
    from pymmio.cli.output import print_json, print_plain

    reports = []
    with target.open() as device:
        recorder = DeviceRecorder(device)
        between = through(device)
        for name in names or NAMES:
            ready = ready_subject(subject, device, name)
            reports.append(
                run(ready.access, preset(name), recorder, name=ready.name, widths=ready.widths)
            )
    if html is not None:
        _write_page(
            reports, Path(html), f"{target.uri} through {between}" if between else target.uri
        )
    if as_json:
        print_json([as_dict(report) | {"through": between or None} for report in reports])
    else:
        if between:
            print_plain(f"through {between}")
        for report in reports:
            print_plain(text(report, with_matrices=len(reports) == 1, most=12 if names else 0))
    if any(report.verdict is Verdict.BROKEN for report in reports):
        ctx.exit(1)


def _write_page(reports: list[Report], path: Path, uri: str) -> None:
    from pymmio.check.rules.html import page

    path.write_text(page(reports, device=uri), encoding="utf-8")
