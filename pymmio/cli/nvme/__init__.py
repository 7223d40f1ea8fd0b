"""``pymmio nvme``: commands for NVMe controllers."""

from __future__ import annotations

import click

from pymmio.cli.lazy import LazyGroup

__all__ = ["nvme"]


@click.group(
    cls=LazyGroup,
    lazy={
        name: f"pymmio.cli.nvme.{name}:{command}"
        for name, command in (
            ("identify", "identify"),
            ("list", "list_namespaces"),
            ("read", "read"),
            ("write", "write"),
            ("flush", "flush"),
            ("smart", "smart"),
            ("log", "log"),
            ("features", "features"),
            ("format", "format_command"),
            ("abort", "abort"),
            ("reset", "reset"),
            ("bench", "bench"),
            ("demo", "demo"),
        )
    },
    epilog="""\b
Examples:
  pymmio nvme identify sim:nvme
  pymmio nvme smart vfio:0000:01:00.0
  pymmio nvme read vfio:0000:01:00.0 --lba 0 --blocks 1
  pymmio nvme bench sim:nvme --rw randread --bs 4096 --qd 32 --seconds 3

The controller is reset when it is opened and shut down at the end. Real hardware must be
bound to vfio-pci.
""",
)
def nvme() -> None:
    """Identify, read, write, measure and manage NVMe controllers."""
