"""``pymmio bind``, ``unbind``, ``restore``: which driver has a device."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pymmio.cli.complete import complete_address
from pymmio.cli.errors import ExitCode, report
from pymmio.cli.options import json_option

if TYPE_CHECKING:
    from pymmio.backend.vfio.bind import BindResult, Change

__all__ = ["bind", "restore", "unbind"]

_address = click.argument("address", metavar="ADDRESS", shell_complete=complete_address)
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Print every step as a shell command, and do nothing."
)


@click.command(
    short_help="Give a device to vfio-pci.",
    epilog="""\b
Examples:
  pymmio bind 0000:01:00.0 --dry-run      the steps, if nothing stands in the way
  sudo pymmio bind 0000:01:00.0
  sudo pymmio bind 0000:01:00.0 --group   with all of its IOMMU group
  sudo pymmio restore 0000:01:00.0        back to the kernel driver
""",
)
@_address
@click.option("--group", is_flag=True, help="Bind all members of its IOMMU group that need it.")
@click.option(
    "--force",
    is_flag=True,
    help="Even if it is a network interface that is up, the boot display, open in a process, or "
    "if other members of its group are in the way. Never what is mounted or swap space.",
)
@_dry_run
@json_option
def bind(address: str, group: bool, force: bool, dry_run: bool, as_json: bool) -> None:
    """Give the PCI function ADDRESS to vfio-pci, so that programs can use it.

    Refuses what is in use, and says by what: file systems, swap, RAID, LVM and the like down
    to this device, open device nodes, network interfaces that are up, the boot display, other
    members of its IOMMU group. The former driver is remembered for `pymmio restore`. A step
    that fails is undone. Takes root.
    """
    from pymmio.backend.vfio.bind import bind as bind_device

    result = bind_device(address, group=group, force=force, dry_run=dry_run)
    _show(result, as_json=as_json, dry_run=dry_run)


@click.command(
    short_help="Take a device from VFIO.",
    epilog="""\b
Examples:
  sudo pymmio unbind 0000:01:00.0
  pymmio unbind 0000:01:00.0 --dry-run
""",
)
@_address
@_dry_run
@json_option
def unbind(address: str, dry_run: bool, as_json: bool) -> None:
    """Take ADDRESS from VFIO and let the kernel choose its driver, as at boot.

    For devices that were bound by other means; `pymmio restore` gives back exactly what `pymmio
    bind` took. Refuses while a program has the device open. Takes root.
    """
    from pymmio.backend.vfio.bind import unbind as unbind_device

    _show(unbind_device(address, dry_run=dry_run), as_json=as_json, dry_run=dry_run)


@click.command(
    short_help="Give a device back to its former driver.",
    epilog="""\b
Examples:
  pymmio restore                        what there is to restore
  sudo pymmio restore 0000:01:00.0
  sudo pymmio restore --all
""",
)
@click.argument("address", metavar="[ADDRESS]", required=False, shell_complete=complete_address)
@click.option("--all", "is_all", is_flag=True, help="Every device that was bound.")
@_dry_run
@json_option
def restore(address: str | None, is_all: bool, dry_run: bool, as_json: bool) -> None:
    """Give ADDRESS back to the driver that it had before `pymmio bind`.

    Works also after a crash in the middle of a change. Without ADDRESS or --all it shows what
    there is to restore. Refuses while a program has the device open. Takes root.
    """
    from pymmio.backend.vfio import bind as binding

    if address is not None and is_all:
        raise click.UsageError(
            "name one device or give --all, not both", click.get_current_context(silent=True)
        )
    if address is not None:
        _show(binding.restore(address, dry_run=dry_run), as_json=as_json, dry_run=dry_run)
    elif is_all:
        _show_all(binding.restore_all(dry_run=dry_run), as_json=as_json, dry_run=dry_run)
    else:
        _show_recorded(binding.recorded(), as_json=as_json)


def _show_all(results: Sequence[BindResult], *, as_json: bool, dry_run: bool) -> None:
    """Print what was done; exit with the code of the first error, after all is told."""
    from pymmio.cli.output import note, print_json

    if as_json:
        print_json([result.as_dict() for result in results])
    elif not results:
        note("nothing to restore")
    _tell(results, as_json=as_json, dry_run=dry_run)


def _show(result: BindResult, *, as_json: bool, dry_run: bool) -> None:
    from pymmio.cli.output import print_json

    if as_json:
        print_json(result.as_dict())
    _tell([result], as_json=as_json, dry_run=dry_run)


def _tell(results: Sequence[BindResult], *, as_json: bool, dry_run: bool) -> None:
    from pymmio.cli.output import note, print_plain

    worst = ExitCode.OK
    for result in results:
        for remark in result.remarks:
            note(remark)
        for change in result.changes:
            if change.error is not None:
                worst = worst or report(change.error)
            elif not as_json and dry_run:
                print_plain(_steps_text(change))
            elif not as_json:
                print_plain(str(change))
    if worst:
        sys.exit(int(worst))


def _steps_text(change: Change) -> str:
    """Return the steps as lines that a root shell understands."""
    if not change.steps:
        return f"# {change}: nothing to do"
    lines = [f"# {change}"]
    width = max(len(str(step)) for step in change.steps)
    lines += [f"{step!s:<{width}}  # {step.why}" for step in change.steps]
    return "\n".join(lines)


def _show_recorded(changes: Sequence[Change], *, as_json: bool) -> None:
    from pymmio.cli.output import note, print_json, show_table

    if as_json:
        print_json([change.as_dict() for change in changes])
        return
    if not changes:
        note("nothing to restore: no device was bound by `pymmio bind` since the last boot")
        return
    show_table(
        ("address", "driver now", "former driver"),
        [
            (
                str(change.address),
                change.driver or "none",
                "record damaged" if change.error else change.former or "none",
            )
            for change in changes
        ],
    )
    first = shlex.quote(str(changes[0].address))
    note(f"`pymmio restore {first}` or `pymmio restore --all` gives them back")
