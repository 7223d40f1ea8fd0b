"""``pymmio pmem bench``: flushes a second, how long they take, how many are shared."""

from __future__ import annotations

import statistics
import threading
import time

import click

from pymmio.cli.options import Target, require_write
from pymmio.cli.pmem.common import PmemCommand, open_pmem
from pymmio.cli.sizes import size

__all__ = ["bench"]


@click.command(
    cls=PmemCommand,
    short_help="Measure writes that are flushed.",
    epilog="""\b
Examples:
  pymmio pmem bench sim:virtio-pmem
  pymmio pmem bench 'qemu:virtio-pmem-pci?memory=pm.img&size=64M' --threads 64 --write --json
""",
)
@click.option("--bs", type=size, default="4096", show_default=True, help="Bytes a write.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=3.0,
    show_default=True,
    help="How long.",
)
@click.option(
    "--write",
    "allowed",
    is_flag=True,
    help="Really write; refused without it, save on sim: without a file.",
)
def bench(
    target: Target,
    bs: int,
    threads: int,
    seconds: float,
    allowed: bool,
    memory: str | None,
    as_json: bool,
) -> None:
    """Measure the device URI: each thread writes zeroes to a place of its own and flushes.

    Threads that flush at the same time share flushes of the device.
    """
    from pymmio.cli.output import print_json, show_facts
    from pymmio.cli.sizes import duration_text, rate_text, size_text

    require_write(allowed or target.is_simulated, "this overwrites persistent memory")
    latencies: list[float] = []
    failures: list[BaseException] = []
    with open_pmem(target, memory) as pmem:
        if not 0 < bs <= pmem.size:
            raise click.BadParameter(f"{bs} bytes of {pmem.size}", param_hint="--bs")
        before, data = pmem.device_flushes, bytes(bs)
        end = time.monotonic() + seconds

        def work(number: int) -> None:
            at = number * bs % (pmem.size - bs + 1)
            mine: list[float] = []
            try:
                while time.monotonic() < end:
                    start = time.perf_counter()
                    pmem.write(at, data)
                    pmem.flush()
                    mine.append((time.perf_counter() - start) * 1e6)
            except BaseException as error:
                failures.append(error)
            latencies.extend(mine)

        running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        started = time.monotonic()
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        took = time.monotonic() - started
        flushes = pmem.device_flushes - before
    if failures:
        raise failures[0]
    ranked = sorted(latencies)
    figures = {
        "uri": target.uri,
        "bs": bs,
        "threads": threads,
        "seconds": took,
        "flushes_s": len(ranked) / took,
        "device_flushes_s": flushes / took,
        "bandwidth_bytes_s": len(ranked) * bs / took,
        "lat_us": {
            "mean": statistics.fmean(ranked),
            "p50": ranked[len(ranked) // 2],
            "p99": ranked[len(ranked) * 99 // 100],
            "p999": ranked[len(ranked) * 999 // 1000],
        },
    }
    if as_json:
        print_json(figures)
        return
    lat = figures["lat_us"]
    assert isinstance(lat, dict)
    facts = {
        "writes and flushes": f"{len(ranked) / took:,.0f} a second",
        "flushes of the device": f"{flushes / took:,.0f} a second",
        "bandwidth": rate_text(len(ranked) * bs / took),
        **{name: duration_text(lat[name]) for name in ("mean", "p50", "p99")},
        "p99.9": duration_text(lat["p999"]),
    }
    count = "1 thread" if threads == 1 else f"{threads} threads"
    show_facts(facts.items(), title=f"{target.uri}: {size_text(bs)}, {count}")
