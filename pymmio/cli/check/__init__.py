"""``pymmio check``: proofs of accesses and of the rules that they keep."""

from __future__ import annotations

import click

from pymmio.cli.lazy import LazyGroup

__all__ = ["check"]


@click.group(
    cls=LazyGroup,
    lazy={
        "accessors": "pymmio.cli.check.accessors:accessors",
        "rules": "pymmio.cli.check.rules:rules",
        "porting": "pymmio.cli.check.porting:porting",
    },
    short_help="Prove what accesses really are made.",
    epilog="""\b
Examples:
  pymmio check accessors --subject pymmio      is one read of pymmio one access here?
  pymmio check rules sim:access-recorder --rule strict-pci
""",
)
def check() -> None:
    """Prove what accesses really are made, by pymmio, by other libraries, by your code."""
