"""``pymmio nvme bench``: commands a second, and how long they take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pymmio.cli.nvme.common import NamespaceCommand, open_controller
from pymmio.cli.options import Target, require_write
from pymmio.cli.sizes import block_range, size

if TYPE_CHECKING:
    from pymmio_drivers.nvme.bench import Mode

__all__ = ["bench"]

_MODES = {
    "randread": "random reads",
    "randwrite": "random writes",
    "read": "sequential reads",
    "write": "sequential writes",
    "randrw": "random reads and writes, 70:30",
}
_READS = ("randread", "read")


@click.command(
    cls=NamespaceCommand,
    short_help="Measure IOPS, bandwidth and latencies.",
    epilog="""\b
Examples:
  pymmio nvme bench 'sim:nvme?size=64M'
  pymmio nvme bench vfio:0000:01:00.0 --rw randread --bs 4096 --qd 32 --seconds 3 --json
  pymmio nvme bench vfio:0000:01:00.0 --rw randwrite --range 1M:256K --write
  pymmio nvme bench sim:nvme --qd 1 --plot latencies.png
""",
)
@click.option(
    "--rw",
    type=click.Choice(list(_MODES)),
    default="randread",
    show_default=True,
    help="What to do.",
)
@click.option(
    "--bs", type=size, default="4096", show_default=True, metavar="BYTES", help="Bytes a command."
)
@click.option(
    "--qd",
    type=click.IntRange(1, 65534),
    metavar="N",
    default=32,
    show_default=True,
    help="Commands at once.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="How long.",
)
@click.option(
    "--range",
    "place",
    type=block_range,
    metavar="LBA:BLOCKS",
    help="Only on these blocks; else on all.",
)
@click.option(
    "--write",
    "allowed",
    is_flag=True,
    help="Really write, where --rw says so; refused without it, save on sim:.",
)
@click.option(
    "--histogram/--no-histogram",
    "wants_histogram",
    default=None,
    help="How many commands took how long; by default on a terminal only.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Draw the latencies to a .png, .svg or .pdf file; needs pymmio[plot].",
)
def bench(
    target: Target,
    nsid: int,
    rw: Mode,
    bs: int,
    qd: int,
    seconds: float,
    place: tuple[int, int] | None,
    allowed: bool,
    wants_histogram: bool | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure the NVMe controller URI: IOPS, bandwidth, latencies.

    A loop in C keeps --qd commands of --bs bytes in flight on one queue pair. Writes put
    zeroes over what is there. With --json, --histogram adds (lower bound in ns, commands) of
    each bucket in use.
    """
    from pymmio.cli.nvme.histogram import show_histogram
    from pymmio.cli.nvme.show import show_figures
    from pymmio.cli.output import is_terminal, note, print_json, progress_share
    from pymmio.cli.sizes import size_text

    if plot is not None:
        from pymmio.cli.nvme.plot import draw, require_matplotlib

        require_matplotlib(plot)
    if rw not in _READS:
        require_write(allowed or target.is_simulated, "this overwrites blocks of the device")
    first_lba, blocks = place or (0, None)
    with open_controller(target, queue_depth=qd) as controller:
        namespace = controller.namespaces[nsid]
        with progress_share(_MODES[rw]) as share:
            figures = namespace.measure(
                rw=rw,
                block_size=bs,
                queue_depth=qd,
                seconds=seconds,
                first_lba=first_lba,
                blocks=blocks,
                progress=share,
            )
    name = f"{_MODES[rw]}\n{size_text(bs)}, {qd} at once"
    if as_json:
        asked = {"uri": target.uri, "nsid": nsid, "rw": rw, "bs": bs, "qd": qd}
        more = {"histogram": figures.histogram} if wants_histogram else {}
        print_json({**asked, **figures.as_dict(), **more})
    else:
        show_figures({name: figures}, title=target.uri)
        if wants_histogram or (wants_histogram is None and is_terminal()):
            show_histogram(figures)
    if plot is not None:
        draw(figures, plot, title=f"{target.uri}: {name.replace(chr(10), ', ')}")
        note(f"drew the latencies to {plot}")
    if figures.errors:
        raise click.ClickException(
            f"{figures.errors} of {figures.commands} commands failed,"
            f" the first with {figures.first_error}"
        )
