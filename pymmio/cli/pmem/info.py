"""``pymmio pmem info`` and ``pymmio pmem flush``."""

from __future__ import annotations

import time

import click

from pymmio.cli.options import Target
from pymmio.cli.pmem.common import PmemCommand, open_pmem

__all__ = ["flush", "info"]


@click.command(
    cls=PmemCommand,
    short_help="Show size, features, and how the memory is reached.",
    epilog="""\b
Examples:
  pymmio pmem info sim:virtio-pmem
  pymmio pmem info vfio:0000:01:00.0 --memory /dev/pmem0 --json
""",
)
def info(target: Target, memory: str | None, as_json: bool) -> None:
    """Show size, features, and how the memory of the persistent-memory device URI is reached."""
    from pymmio.cli.output import print_json, show_facts
    from pymmio.cli.sizes import size_text
    from pymmio_drivers.virtio_pmem import SHMEM_REGION

    with open_pmem(target, memory) as pmem:
        features = pmem.virtio.features.names([SHMEM_REGION])
        facts = {
            "uri": target.uri,
            "size": pmem.size,
            "way": pmem.way,
            "dereferenceable": pmem.memory.is_dereferenceable,
            "cached": pmem.memory.is_cached,
            "durable_by": str(pmem.memory.durability),
            "features": features,
        }
    if as_json:
        print_json(facts)
        return
    shown = {
        "size": f"{size_text(pmem.size)} ({pmem.size} bytes)",
        "reached by": pmem.way,
        "dereferenceable": "yes" if facts["dereferenceable"] else "no: aligned accesses only",
        "cached": "yes" if facts["cached"] else "no",
        "durable by": str(facts["durable_by"]),
        "features": ", ".join(features),
    }
    show_facts(shown.items(), title=target.uri)


@click.command(
    cls=PmemCommand,
    short_help="Make what was written durable.",
    epilog="""\b
Example:
  pymmio pmem flush vfio:0000:01:00.0
""",
)
def flush(target: Target, memory: str | None, as_json: bool) -> None:
    """Let the host make the memory of the device URI durable."""
    from pymmio.cli.output import note, print_json
    from pymmio.cli.sizes import duration_text

    with open_pmem(target, memory) as pmem:
        start = time.perf_counter()
        result = pmem.flush()
        took_us = (time.perf_counter() - start) * 1e6
    if as_json:
        print_json({"uri": target.uri, "result": str(result), "lat_us": took_us})
    else:
        note(f"flushed in {duration_text(took_us)}")
