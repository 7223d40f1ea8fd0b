"""``pymmio nvme demo``: one of everything, for people who look at pymmio for the first time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from pymmio.cli.nvme.common import (
    NamespaceCommand,
    chunk_buffer,
    chunks,
    open_controller,
    require_range,
)
from pymmio.cli.options import Target
from pymmio.cli.sizes import block_range, rate_text, size_text

if TYPE_CHECKING:
    from pymmio_drivers.nvme import Measurement, Namespace
    from pymmio_drivers.nvme.bench import Mode

__all__ = ["demo"]

_SIZE = 64 << 20
_SEED = 0x5EED_0000_0000
_SECONDS = 1.0
_COMMAND_SIZE = 4096


@dataclass(frozen=True, slots=True)
class _Pass:
    """One pass over the blocks; ``seconds`` is the time in which commands were under way."""

    what: str
    size: int
    seconds: float

    def __str__(self) -> str:
        rate = rate_text(self.size / self.seconds) if self.seconds else "no time"
        return f"{self.what:<8} {size_text(self.size)} at {rate}"


@dataclass(frozen=True, slots=True)
class _Work:
    """What is measured: a name for people, the mode of measure(), commands at once."""

    name: str
    rw: Mode
    qd: int


_WORK = (
    _Work("random reads", "randread", 1),
    _Work("random reads", "randread", 32),
    _Work("random writes", "randwrite", 32),
)


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
    import pymmio_drivers.nvme  # noqa: F401  # now, so that it is not part of the time below
    from pymmio.cli.nvme.show import namespace_dict, show_controller, show_namespaces
    from pymmio.cli.output import is_terminal, print_json, print_plain

    writes = allowed or target.is_simulated
    if writes and place is None and not target.is_simulated:
        raise click.UsageError("--write needs --range LBA:BLOCKS, the blocks to overwrite")
    say: Callable[[object], None] = (lambda text: None) if as_json else print_plain
    start = time.perf_counter()
    with open_controller(target) as controller:
        ready_ms = 1000 * (time.perf_counter() - start)
        namespace = controller.namespaces[nsid]
        lba, blocks = place or (0, min(namespace.block_count, _SIZE // namespace.block_size))
        require_range(namespace, lba, blocks)
        say(f"{target.uri}: controller ready after {ready_ms:.0f} ms")
        if not as_json:
            show_controller(controller, title="identify controller")
            show_namespaces(controller.namespaces.usable())
        passes = [_write(namespace, lba, blocks)] if writes else []
        passes.append(_read(namespace, lba, blocks, verify=writes))
        for one in passes if not is_terminal() else ():  # there the bars stay
            say(one)
        say(_VERIFIED if writes else _ONLY_READ)
        measured = _measure_all(namespace, lba, blocks, writes=writes, as_json=as_json)
        report = {
            "uri": target.uri,
            "controller": controller.identity.as_dict(),
            "namespace": namespace_dict(namespace),
            "lba": lba,
            "blocks": blocks,
            "passes": [asdict(one) for one in passes],
            "verified": writes,
            "measured": measured,
        }
    say("controller shut down, device given back")
    if as_json:
        print_json(report)


_VERIFIED = "verified: every byte that was read back is the one that was written"
_ONLY_READ = "nothing was written: --write --range LBA:BLOCKS does that too"


def _pattern(namespace: Namespace, lba: int, blocks: int) -> Iterator[tuple[int, int, bytes]]:
    """Give (lba, blocks, bytes) of the range: the same noise each time, never twice alike."""
    for at, count in chunks(namespace, lba, blocks):
        yield at, count, random.Random(_SEED + at).randbytes(count * namespace.block_size)


def _write(namespace: Namespace, lba: int, blocks: int) -> _Pass:
    from pymmio.cli.output import progress

    total, busy_s = blocks * namespace.block_size, 0.0
    with (
        chunk_buffer(namespace, blocks) as buffer,
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
    from pymmio.cli.output import progress

    total, busy_s = blocks * namespace.block_size, 0.0
    with (
        chunk_buffer(namespace, blocks) as buffer,
        progress("reading", total, keep=True) as advance,
    ):
        expected = _pattern(namespace, lba, blocks) if verify else None
        for at, count in chunks(namespace, lba, blocks):
            before = time.perf_counter()
            namespace.read(buffer, lba=at, blocks=count)
            busy_s += time.perf_counter() - before
            length = count * namespace.block_size
            if expected is not None:
                with memoryview(buffer) as view, view[:length] as got:
                    _compare(got, next(expected)[2], at, namespace.block_size)
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


def _measure_all(
    namespace: Namespace, lba: int, blocks: int, *, writes: bool, as_json: bool
) -> list[dict[str, object]]:
    """Measure, print a table unless JSON is wanted, return the figures."""
    from pymmio.cli.nvme.show import show_figures
    from pymmio.cli.output import progress_share

    size = min(max(_COMMAND_SIZE, namespace.block_size), blocks * namespace.block_size)
    columns: dict[str, Measurement] = {}
    report: list[dict[str, object]] = []
    for work in _WORK:
        if work.rw != "randread" and not writes:
            continue
        with progress_share(f"{work.name}, {work.qd} at once") as share:
            figures = namespace.measure(
                rw=work.rw,
                block_size=size,
                queue_depth=work.qd,
                seconds=_SECONDS,
                first_lba=lba,
                blocks=blocks,
                progress=share,
            )
        columns[f"{work.name}\n{size_text(size)}, {work.qd} at once"] = figures
        report.append({"rw": work.rw, "bs": size, "qd": work.qd, **figures.as_dict()})
    if not as_json:
        show_figures(columns)
    return report
