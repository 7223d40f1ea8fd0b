"""``pymmio setup-user``: what an administrator does once so that a user needs no root."""

from __future__ import annotations

import click

from pymmio.cli.options import json_option
from pymmio.cli.sizes import size

__all__ = ["setup_user"]


@click.command(
    "setup-user",
    short_help="What lets a user work without root.",
    epilog="""\b
Examples:
  pymmio setup-user                              for who runs it, to look at
  pymmio setup-user > setup.sh                   then: less setup.sh; sudo sh setup.sh
  pymmio setup-user --user alice --group vfio    devices for a group that alice is put into
  pymmio setup-user --memlock 16G
""",
)
@click.option("--user", metavar="NAME", help="For this user; by default who runs it.")
@click.option("--group", metavar="NAME", help="Give the devices to a group, made if need be.")
@click.option(
    "--memlock",
    metavar="SIZE",
    type=size,
    default="4G",
    show_default=True,
    help="Memory that the user's devices may reach in all.",
)
@json_option
def setup_user(user: str | None, group: str | None, memlock: int, as_json: bool) -> None:
    """Print the udev rule and the memlock limit that let a user use devices without root.

    A shell script to be read, and run by root. This command changes nothing. Devices still have
    to be bound to vfio-pci, by root: `pymmio bind`.
    """
    from pymmio.backend.vfio.access_setup import access_setup, current_user
    from pymmio.cli.output import print_json, print_plain

    setup = access_setup(
        current_user() if user is None else user, group=group, memlock_bytes=memlock
    )
    if as_json:
        print_json(setup.as_dict())
    else:
        print_plain(setup.script().rstrip("\n"))
