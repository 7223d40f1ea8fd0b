"""The command line: ``pymmio``.  One file a command; nothing here that the library lacks.

A command module imports click only.  rich, cffi and the library are imported by the command
that runs, so that ``pymmio --help`` is quick.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line with the arguments of this process, and exit with its code."""
    from pymmio.cli.app import cli

    cli.main(prog_name="pymmio")
