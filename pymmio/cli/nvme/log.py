"""``pymmio nvme log``: log pages, decoded or as bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymmio.cli.complete import complete_from
from pymmio.cli.content import output_option, require_one_use, show_content
from pymmio.cli.nvme.common import open_controller
from pymmio.cli.options import DeviceCommand, Target
from pymmio.cli.sizes import parse_number, size

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from pymmio_drivers.nvme import Controller

__all__ = ["PAGES", "log"]

PAGES = {"supported": 0, "error": 1, "smart": 2, "firmware": 3, "changed": 4, "commands": 5}
"""The pages that are decoded, by name."""


def page_id(text: str) -> int:
    """Convert the name or the number of a log page."""
    if text in PAGES:
        return PAGES[text]
    try:
        number = parse_number(text)
    except ValueError:
        number = 0x100
    if number > 0xFF:
        raise click.BadParameter(f"{text!r} is no log page; write 0xca or {', '.join(PAGES)}")
    return number


def _complete(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return complete_from(PAGES, incomplete)


@click.command(
    cls=DeviceCommand,
    short_help="Log pages: errors, firmware, commands; any other as bytes.",
    epilog="""\b
Examples:
  pymmio nvme log sim:nvme error
  pymmio nvme log sim:nvme commands
  pymmio nvme log sim:nvme smart --raw --offset 0x20 --size 64
  pymmio nvme log vfio:0000:01:00.0 0xca --size 4K --output ca.bin
""",
)
@click.argument("page", metavar="PAGE", type=page_id, shell_complete=_complete)
@click.option("--raw", is_flag=True, help="As bytes, also if it can be decoded.")
@click.option("--offset", type=size, metavar="BYTES", help="From there on, as bytes.")
@click.option("--size", "length", type=size, metavar="BYTES", help="So many bytes, as bytes.")
@click.option(
    "-n",
    "--namespace",
    "nsid",
    type=click.IntRange(min=1),
    metavar="ID",
    help="Of this namespace, where there is one for each.",
)
@output_option
def log(
    target: Target,
    page: int,
    raw: bool,
    offset: int | None,
    length: int | None,
    nsid: int | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show a log page of the NVMe controller URI.

    PAGE is supported, error, smart, firmware, changed or commands, which are decoded, or a
    number. Offset and size are multiples of 4; the size of a page that is not known is 512 bytes
    unless --size says more. A page may be empty after the reset that opening is.
    """
    for name, value in (("--offset", offset), ("--size", length)):
        if value is not None and (value % 4 or (name == "--size" and not value)):
            raise click.BadParameter(
                f"{value} is no multiple of 4 bytes, which log pages are read in", param_hint=name
            )
    require_one_use(output, as_json)
    is_raw = raw or not {offset, length, output} <= {None} or page not in PAGES.values()
    with open_controller(target) as controller:
        if not is_raw:
            _decoded(controller, target, page, nsid, as_json=as_json)
            return
        data = _bytes(controller, page, offset or 0, length, nsid)
    asked = {"uri": target.uri, "page": page, "offset": offset or 0, "bytes": len(data)}
    show_content(iter((data,)), asked, output, as_json=as_json, base=offset or 0, total=len(data))


def _bytes(
    controller: Controller, page: int, offset: int, length: int | None, nsid: int | None
) -> bytes:
    from pymmio_drivers.nvme import log_size
    from pymmio_drivers.nvme.command import NSID_ALL

    if length is None:
        length = max(4, log_size(controller.identity, page) - offset)
    scope = NSID_ALL if nsid is None else nsid
    return controller.admin.get_log_page(page, length, nsid=scope, offset=offset)


def _decoded(
    controller: Controller, target: Target, page: int, nsid: int | None, *, as_json: bool
) -> None:
    from pymmio.cli.nvme.log_pages import SHOW

    SHOW[page](controller, target.uri, nsid, as_json)
