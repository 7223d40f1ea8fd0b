"""``pymmio nvme format``: another LBA format, or an erased namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pymmio.cli.nvme.common import NamespaceCommand, open_controller
from pymmio.cli.options import Target, ask, require_yes, yes_option
from pymmio.cli.sizes import size, size_text

if TYPE_CHECKING:
    from pymmio_drivers.nvme import Controller, Erase, FormatChoice

__all__ = ["format_command"]

_ERASE = ("none", "user", "crypto")
"""In the order of Secure Erase Settings."""


@click.command(
    "format",
    cls=NamespaceCommand,
    short_help="Erase a namespace, or give it another block size.",
    epilog="""\b
Examples:
  pymmio nvme format sim:nvme --list
  pymmio nvme format sim:nvme --block-size 4096
  pymmio nvme format vfio:0000:01:00.0 --lbaf 1 --erase user
  pymmio nvme format vfio:0000:01:00.0 --block-size 4K --yes
""",
)
@click.option("--list", "is_list", is_flag=True, help="Show the LBA formats, change nothing.")
@click.option(
    "--lbaf", type=click.IntRange(0, 63), metavar="INDEX", help="LBA format by its index."
)
@click.option(
    "--block-size", type=size, metavar="BYTES", help="The fastest format without metadata of it."
)
@click.option(
    "--erase",
    type=click.Choice(_ERASE),
    default="none",
    show_default=True,
    help="How to erase: as the controller likes, all user data, or by dropping the key.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    default=3600.0,
    show_default=True,
    help="How long it may take; then the controller is reset.",
)
@yes_option
def format_command(
    target: Target,
    nsid: int,
    is_list: bool,
    lbaf: int | None,
    block_size: int | None,
    erase: str,
    timeout_s: float,
    yes: bool,
    as_json: bool,
) -> None:
    """Format a namespace of the NVMe controller URI: all of its data is lost.

    Without --lbaf and --block-size the format stays as it is. Some controllers format all
    namespaces at once; the question before says so. Without a terminal to ask on, nothing is
    opened unless --yes is given, save on models without a file.
    """
    from pymmio.cli.output import print_json, progress_share
    from pymmio_drivers.nvme import Erase, format_choices, format_namespace

    if lbaf is not None and block_size is not None:
        raise click.UsageError("give --lbaf or --block-size, not both")
    is_asked = not is_list and require_yes(yes, target, "this erases a namespace")
    kind = Erase(_ERASE.index(erase))
    with open_controller(target) as controller:
        admin = controller.admin
        _check_active(controller, nsid)
        choices = format_choices(admin.identify_namespace(nsid))
        if is_list:
            _show(target, nsid, choices, as_json=as_json)
            return
        index = _index(choices, lbaf, block_size)
        if is_asked:
            ask(_question(controller, nsid, kind))
        with progress_share(f"formatting namespace {nsid}") as share:
            format_namespace(
                controller,
                nsid,
                lba_format=index,
                erase=kind,
                timeout_s=timeout_s,
                progress=share,
            )
        choices = format_choices(admin.identify_namespace(nsid))
        if as_json:
            now = next(one for one in choices if one.is_in_use)
            print_json({"uri": target.uri, "nsid": nsid, "erase": erase, "format": now})
        else:
            _show(target, nsid, choices, as_json=False)


def _check_active(controller: Controller, nsid: int) -> None:
    """Raise NamespaceNotFound unless there is such a namespace.

    One that is there is not opened: its present format may be of no use for data.
    """
    if nsid not in tuple(controller.namespaces):
        _ = controller.namespaces[nsid]  # raises, with those that there are


def _index(
    choices: tuple[FormatChoice, ...], lbaf: int | None, block_size: int | None
) -> int | None:
    """Return the index of the format that is wanted; None: as it is."""
    if block_size is None:
        return lbaf
    fitting = [one for one in choices if (one.block_size, one.metadata_size) == (block_size, 0)]
    if not fitting:
        offered = sorted({one.block_size for one in choices if not one.metadata_size})
        raise click.BadParameter(
            f"there is no format with {block_size} bytes a block and no metadata, only with"
            f" {', '.join(map(str, offered)) or 'metadata'}: nothing was changed",
            param_hint="--block-size",
        )
    return min(fitting, key=lambda one: (one.performance, one.index)).index


def _question(controller: Controller, nsid: int, erase: Erase) -> str:
    from pymmio_drivers.nvme import FormatScope, format_scope

    identity = controller.identity
    device = f"{identity.mn} {identity.sn}, {controller.name}"
    if format_scope(controller, erase) is FormatScope.CONTROLLER:
        many = len(controller.namespaces)
        return f"All data of ALL {many} namespaces of {device} will be lost."
    capacity = size_text(int(controller.admin.identify_namespace(nsid).nvmcap) or 0)
    about = f" ({capacity})" if capacity != "0 B" else ""
    return f"All data of namespace {nsid}{about} of {device} will be lost."


def _show(target: Target, nsid: int, choices: tuple[FormatChoice, ...], *, as_json: bool) -> None:
    from pymmio.cli.output import print_json, show_table

    if as_json:
        print_json({"uri": target.uri, "nsid": nsid, "formats": choices})
        return
    words = {0: "best", 1: "better", 2: "good", 3: "degraded"}
    show_table(
        ("lbaf", "block size", "metadata", "performance", "state"),
        [
            (
                str(one.index),
                size_text(one.block_size),
                f"{one.metadata_size} B" if one.metadata_size else "",
                words[one.performance],
                "in use" if one.is_in_use else "",
            )
            for one in choices
        ],
        right=("lbaf", "block size", "metadata"),
        title=f"LBA formats of namespace {nsid} of {target.uri}",
    )
