"""``pymmio nvme demo``: one of everything, for people who look at pymmio for the first time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pymmio.cli.nvme.common import NamespaceCommand, chunks
from pymmio.cli.options import Target, require_write
from pymmio.cli.sizes import block_range, rate_text, size_text

if TYPE_CHECKING:
    from pymmio_drivers.nvme import Namespace
    from pymmio_drivers.nvme.bench import Measurement, Mode

__all__ = ["demo"]

_SIZE = 64 << 20
_SEED = 0x5EED_0000_0000
_SECONDS = 1.0
_WORK: tuple[tuple[str, Mode, int, int], ...] = (
    ("random reads", "randread", 4096, 1),
    ("random reads", "randread", 4096, 32),
    ("random writes", "randwrite", 4096, 32),
)


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass over the blocks: what, how many bytes, how long."""

    verb: str
    size: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.size / self.seconds if self.seconds else 0.0


@click.command(
    cls=NamespaceCommand,
    short_help="One of everything, on a model or real hardware.",
    epilog="""\b
Examples:
  pymmio nvme demo 'sim:nvme?size=128M'
  pymmio nvme demo vfio:0000:01:00.0
  pymmio nvme demo vfio:0000:01:00.0 --write --range 0:128K
""",
)
@click.option(
    "--range",
    "place",
    type=block_range,
    metavar="LBA:BLOCKS",
    help="The blocks to use; else the first 64 MiB.",
)
@click.option(
    "--write",
    "allowed",
    is_flag=True,
    help="Overwrite the blocks of --range; on sim: it writes anyway.",
)
def demo(
    target: Target, nsid: int, place: tuple[int, int] | None, allowed: bool, as_json: bool
) -> None:
    """Drive the NVMe controller URI: identify, write, read back, verify, measure, shut down.

    Real hardware is only read, unless --write and --range say what may be overwritten.
    """
    from pymmio.cli.nvme.common import namespace_of, open_controller, require_range
    from pymmio.cli.nvme.show import (
        namespace_dict,
        show_controller,
        show_figures,
        show_namespaces,
    )
    from pymmio.cli.output import is_terminal, print_json, print_plain

    if allowed and place is None and not target.is_simulated:
        require_write(False, "--write needs --range LBA:BLOCKS, the blocks to overwrite")
    writes = allowed or target.is_simulated
    say: Callable[[str], None] = (lambda text: None) if as_json else print_plain
    import pymmio_drivers.nvme  # noqa: F401  # not part of the time that starts now

    start = time.perf_counter()
    with open_controller(target) as controller:
        ready_s = time.perf_counter() - start
        namespace = namespace_of(controller, nsid)
        lba, blocks = place or (0, min(namespace.block_count, _SIZE // namespace.block_size))
        require_range(namespace, lba, blocks)
        say(f"{target.uri}: controller ready after {1000 * ready_s:.0f} ms")
        if not as_json:
            show_controller(controller, title="identify controller")
            show_namespaces(list(controller.namespaces.values()))
        passes = [_write(namespace, lba, blocks)] if writes else []
        passes.append(_read(namespace, lba, blocks, verify=writes))
        if not is_terminal():  # there the bars stay
            for one in passes:
                say(f"{one.verb:<8} {size_text(one.size)} at {rate_text(one.rate)}")
        if writes:
            say("verified: every byte that was read back is the one that was written")
        else:
            say("nothing was written: --write --range LBA:BLOCKS does that too")
        work = [one for one in _WORK if writes or one[1] == "randread"]
        figures = [_measure(namespace, *one, lba, blocks) for one in work]
        if not as_json:
            names = [f"{name}\n{size_text(bs)}, {qd} at once" for name, _, bs, qd in work]
            show_figures(dict(zip(names, figures, strict=True)))
        facts = {"model": controller.identity.mn, "serial": controller.identity.sn}
        identity = {**facts, "firmware": controller.identity.fr, "version": controller.version}
        about = namespace_dict(namespace)
    say("controller shut down, device given back")
    if as_json:
        print_json(
            {
                "uri": target.uri,
                "controller": identity,
                "namespace": about,
                "lba": lba,
                "blocks": blocks,
                "passes": [
                    {"what": one.verb, "bytes": one.size, "seconds": one.seconds} for one in passes
                ],
                "verified": writes,
                "measured": [
                    {"rw": rw, "bs": bs, "qd": qd, **found.as_dict()}
                    for (_, rw, bs, qd), found in zip(work, figures, strict=True)
                ],
            }
        )


def _pattern(namespace: Namespace, lba: int, blocks: int) -> Iterator[tuple[int, int, bytes]]:
    """Give (lba, blocks, bytes) of the range: the same noise each time, never twice alike."""
    for at, count in chunks(namespace, lba, blocks):
        yield at, count, random.Random(_SEED + at).randbytes(count * namespace.block_size)


def _write(namespace: Namespace, lba: int, blocks: int) -> _Pass:
    from pymmio.cli.nvme.common import CHUNK_SIZE
    from pymmio.cli.output import progress

    total, busy_s = blocks * namespace.block_size, 0.0
    largest = max(namespace.block_size, min(total, CHUNK_SIZE))
    with (
        namespace.controller.alloc(largest) as buffer,
        progress("writing", total, keep=True) as advance,
    ):
        for at, count, data in _pattern(namespace, lba, blocks):
            with memoryview(buffer) as view:
                view[: len(data)] = data
            before = time.perf_counter()
            namespace.write(buffer, lba=at, blocks=count)
            busy_s += time.perf_counter() - before
            advance(len(data))
        namespace.flush()
    return _Pass("written", total, busy_s)


def _read(namespace: Namespace, lba: int, blocks: int, *, verify: bool) -> _Pass:
    from pymmio.cli.nvme.common import CHUNK_SIZE
    from pymmio.cli.output import progress

    total, busy_s = blocks * namespace.block_size, 0.0
    largest = max(namespace.block_size, min(total, CHUNK_SIZE))
    with (
        namespace.controller.alloc(largest) as buffer,
        progress("reading", total, keep=True) as advance,
    ):
        expected = _pattern(namespace, lba, blocks) if verify else None
        for at, count in chunks(namespace, lba, blocks):
            before = time.perf_counter()
            namespace.read(buffer, lba=at, blocks=count)
            busy_s += time.perf_counter() - before
            length = count * namespace.block_size
            if expected is not None:
                with memoryview(buffer) as view:
                    _compare(view[:length], next(expected)[2], at, namespace.block_size)
            advance(length)
    return _Pass("read", total, busy_s)


def _compare(got: memoryview, wanted: bytes, lba: int, block_size: int) -> None:
    if got == wanted:
        return
    for at in range(0, len(wanted), block_size):
        if got[at : at + block_size] != wanted[at : at + block_size]:
            raise click.ClickException(
                f"block {lba + at // block_size} does not read back as it was written"
            )


def _measure(
    namespace: Namespace, name: str, rw: Mode, bs: int, qd: int, lba: int, blocks: int
) -> Measurement:
    from pymmio.cli.output import progress_share
    from pymmio_drivers.nvme.bench import measure

    with progress_share(f"{name}, {qd} at once") as share:
        return measure(
            namespace,
            rw=rw,
            block_size=max(bs, namespace.block_size),
            queue_depth=qd,
            seconds=_SECONDS,
            first_lba=lba,
            blocks=blocks,
            progress=share,
        )
