"""``pymmio check porting``: what ties the source of a driver to a little-endian machine."""

from __future__ import annotations

import click

from pymmio.cli.options import json_option

__all__ = ["porting"]


@click.command(
    short_help="Find what works on x86 by luck in a driver's source.",
    epilog="""\b
Examples:
  pymmio check porting driver.py registers.py
""",
)
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(dir_okay=False)
)
@json_option
@click.pass_context
def porting(ctx: click.Context, files: tuple[str, ...], as_json: bool) -> None:
    """Look through Python sources for native byte order, plain mappings and fixed addresses.

    Nothing is run. The exit code is 1 if there is something to look at.
    """
    from dataclasses import asdict
    from pathlib import Path

    from pymmio.check.porting import scan
    from pymmio.cli.output import print_json, print_plain
    from pymmio.errors import BadArgument

    found = []
    for file in files:
        try:
            found += [(file, finding) for finding in scan(Path(file).read_text("utf-8"), file)]
        except (SyntaxError, UnicodeDecodeError) as error:
            raise BadArgument(f"{file} is no Python source: {error}") from error
    if as_json:
        print_json([{"file": file, **asdict(finding)} for file, finding in found])
    else:
        for file, finding in found:
            print_plain(f"{file}:{finding.line}: {finding.what}; {finding.instead}")
    if found:
        ctx.exit(1)
