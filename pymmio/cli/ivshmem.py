"""``pymmio ivshmem``: memory that virtual machines share."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import click

from pymmio.cli.options import DeviceCommand, Target

if TYPE_CHECKING:
    from pymmio_drivers.ivshmem import Channel

__all__ = ["ivshmem"]


@click.group(
    epilog="""\b
Examples:
  pymmio ivshmem ping vfio:0000:00:05.0 --answer
  pymmio ivshmem ping 'qemu:ivshmem-doorbell?server=/run/ivshmem.sock' --count 10
""",
)
def ivshmem() -> None:
    """Talk to the peers of an ivshmem device."""


@ivshmem.command(
    cls=DeviceCommand,
    short_help="Send messages to a peer and wait for the answers.",
    epilog="""\b
Examples:
  pymmio ivshmem ping vfio:0000:00:05.0 --place 1 --answer
  pymmio ivshmem ping 'qemu:ivshmem-plain?memory=/dev/shm/x' --place 0 --count 5

One peer answers, the other counts. Without doorbells each needs a --place of its own.
""",
)
@click.option("--place", type=click.IntRange(0, 7), help="The own place; else the position.")
@click.option("--peer", type=click.IntRange(0, 7), help="Whom to ping; else the first there is.")
@click.option("--count", type=click.IntRange(1), default=4, show_default=True, help="Messages.")
@click.option("--answer", is_flag=True, help="Answer others, --seconds long, and do not ask.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="How long to wait for a peer, or to answer.",
)
def ping(
    target: Target,
    place: int | None,
    peer: int | None,
    count: int,
    answer: bool,
    seconds: float,
    as_json: bool,
) -> None:
    """Send messages over the shared memory of the ivshmem device URI, and time the answers."""
    from pymmio_drivers.ivshmem import Channel, Ivshmem

    with (
        target.open() as device,
        Ivshmem.open(device) as shared,
        Channel(shared, place=place) as channel,
    ):
        if answer:
            _answer(channel, seconds, as_json)
        else:
            _ask(channel, target, peer, count, seconds, as_json)


def _answer(channel: Channel, seconds: float, as_json: bool) -> None:
    from pymmio.cli.output import note, print_json
    from pymmio.errors import DeviceTimeout

    note(f"answering as place {channel.place} for {seconds:g} s")
    end, answered = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        try:
            place, message = channel.receive(left)
        except DeviceTimeout:
            break
        channel.send(place, message)
        answered += 1
    if as_json:
        print_json({"place": channel.place, "answered": answered})
    else:
        note(f"answered {answered} messages")


def _ask(
    channel: Channel, target: Target, peer: int | None, count: int, seconds: float, as_json: bool
) -> None:
    from pymmio.cli.output import print_json, print_plain, waiting
    from pymmio.cli.sizes import duration_text
    from pymmio.errors import DeviceTimeout

    deadline = time.monotonic() + seconds
    with waiting("waiting for a peer"):
        while not channel.peers() if peer is None else peer not in channel.peers():
            if time.monotonic() > deadline:
                raise DeviceTimeout(
                    f"{target.uri}: no peer came within {seconds:g} s",
                    hint="Let another program run ping --answer on the same memory",
                )
            time.sleep(0.01)
    to = channel.peers()[0] if peer is None else peer
    times: list[float] = []
    for number in range(count):
        start = time.perf_counter()
        message = f"ping {number}".encode()
        channel.send(to, message, timeout_s=seconds)
        place, got = channel.receive(seconds)
        times.append((time.perf_counter() - start) * 1e6)
        if not as_json:
            print_plain(
                f"{len(got)} bytes from place {place}: {duration_text(times[-1])}"
                + ("" if got == message else " (not what was sent)")
            )
    if as_json:
        lat = {"min": min(times), "median": statistics.median(times), "max": max(times)}
        print_json(
            {"uri": target.uri, "place": channel.place, "peer": to, "count": count, "lat_us": lat}
        )
