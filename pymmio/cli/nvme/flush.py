"""``pymmio nvme flush``: what was written reaches the media."""

from __future__ import annotations

import click

from pymmio.cli.nvme.common import NamespaceCommand, open_controller
from pymmio.cli.options import Target

__all__ = ["flush"]


@click.command(
    cls=NamespaceCommand,
    short_help="Flush the write cache.",
    epilog="""\b
Example:
  pymmio nvme flush vfio:0000:01:00.0
""",
)
def flush(target: Target, nsid: int, as_json: bool) -> None:
    """Flush the write cache of the NVMe controller URI for a namespace."""
    from pymmio.cli.output import note, print_json
    from pymmio.cli.sizes import duration_text

    with open_controller(target) as controller:
        namespace = controller.namespaces[nsid]
        took_us = namespace.flush_async().result().latency_ns / 1000
    if as_json:
        print_json({"uri": target.uri, "nsid": nsid, "lat_us": took_us})
    else:
        note(f"flushed namespace {nsid} in {duration_text(took_us)}")
